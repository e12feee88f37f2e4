// All of milepost's public interface.
#pragma once

#include "milepost/engine/checkpoint_manager.h"
#include "milepost/engine/federated/csv_release_manager.h"
#include "milepost/engine/federated/file_checkpoint_manager.h"
#include "milepost/engine/federated/file_program_state_manager.h"
#include "milepost/engine/federated/file_release_manager.h"
#include "milepost/engine/federated/filtering_release_manager.h"
#include "milepost/engine/federated/grouping_release_manager.h"
#include "milepost/engine/follow.h"
#include "milepost/engine/item_files.h"
#include "milepost/engine/item_handler.h"
#include "milepost/engine/preemption.h"
#include "milepost/policy/interval_tuning.h"
