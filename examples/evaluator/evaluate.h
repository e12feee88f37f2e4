// The model with the weights of a checkpoint, and its loss on text that training has not seen.
#pragma once

#include "examples/gpt/model.h"
#include "examples/gpt/text.h"

#include "milepost/milepost.h"

#include <cstdint>
#include <vector>

namespace evaluator {

struct Evaluation {
  double loss = 0;           // on the held-out text
  double training_loss = 0;  // as the trainer recorded it; NaN if it did not
  double age_s = 0;          // of the checkpoint, now that its loss is known
};

// Borrows nothing; one thread at a time.
class Evaluator {
 public:
  Evaluator(const gpt::Text& text, int threads, int batches);

  // Restores the weights alone, in place: of the whole state the seventh that the model computes with. not_found if
  // the step has been removed.
  milepost::Result<Evaluation> evaluate(milepost::CheckpointManager& manager, std::int64_t step);

 private:
  gpt::ThreadPool pool_;
  gpt::Model model_;
  std::vector<gpt::Batch> batches_;
  milepost::Tree weights_;  // views of the model's memory
};

}  // namespace evaluator
