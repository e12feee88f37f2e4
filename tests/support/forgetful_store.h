// A planted bug: operations of one kind, a sync of files or of directories, report success and do nothing.
#pragma once

#include "tests/support/forwarding_store.h"

#include <memory>
#include <utility>

namespace milepost::testing {

class ForgetfulStore final : public ForwardingStore {
 public:
  // Of the kinds that return nothing.
  ForgetfulStore(std::shared_ptr<Store> inner, Operation forgotten)
      : ForwardingStore(std::move(inner)), forgotten_(forgotten) {}

 private:
  Verdict begin(Operation operation, const std::string& /*path*/) override {
    return {.takes_effect = operation != forgotten_};
  }

  const Operation forgotten_;
};

}  // namespace milepost::testing
