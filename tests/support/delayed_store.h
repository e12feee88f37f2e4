// One client's view of a store that others use as well, as of a network file system: what this client has looked at it
// remembers, and so sees later what the others did; what it did itself it sees at once.
//
// Listings, and the attributes of names, the missing ones included, are remembered until the test refreshes them. The
// server answers for itself: whatever changes something, locks, and a file once it is opened (close-to-open
// consistency) are never stale. A name that is remembered as missing cannot be opened.
#pragma once

#include "tests/support/forwarding_store.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace milepost::testing {

// All methods may be called from several threads at once.
class DelayedStore final : public ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  // What the others did until now becomes visible.
  void refresh_listings();
  void refresh_attributes();
  void refresh() {
    refresh_listings();
    refresh_attributes();
  }

  Result<std::vector<DirectoryEntry>> list_directory(const std::string& path) override;
  Result<EntryInfo> stat(const std::string& path) override;
  Result<std::unique_ptr<ReadFile>> open_file(const std::string& path) override;
  Result<void> rename_no_replace(const std::string& from, const std::string& to) override;
  Result<void> exchange(const std::string& a, const std::string& b) override;

 private:
  void end(Operation operation, const std::string& path) override;
  void forget(const std::string& path);  // all that is remembered of it, and that its directory has it

  std::mutex mutex_;
  std::map<std::string, std::vector<DirectoryEntry>> listings_;  // guarded by mutex_
  std::map<std::string, Result<EntryInfo>> attributes_;          // guarded by mutex_
};

}  // namespace milepost::testing
