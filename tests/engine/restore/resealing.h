// Puts the digests of a step right after something in it was changed: what finds the change then are the other checks,
// or nothing. By replacing text, so that it works on files that nobody can parse.
#pragma once

#include "milepost/io/digest.h"
#include "tests/engine/restore/damaged_store.h"

#include <cstring>
#include <string>
#include <string_view>

namespace milepost::testing {

inline std::string text_of(const FileBytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline FileBytes bytes_of(std::string_view text) {
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// A record, step.json or milepost.json, with that text behind its first line.
inline std::string sealed_record(std::string_view body) {
  return "{\"xxh3_128\":\"" + Digest::of(body).hex() + "\",\n" + std::string(body);
}

// What a file above says of one below it: of a table its digest, of a manifest its size, too.
inline void repeat_digest(std::string& above, const FileBytes& was, const FileBytes& is) {
  replace_all(above,
              "\"manifest_bytes\":" + std::to_string(was.size()) + ",\"manifest_digest\":\"" + Digest::of(was).hex(),
              "\"manifest_bytes\":" + std::to_string(is.size()) + ",\"manifest_digest\":\"" + Digest::of(is).hex());
  replace_all(above, Digest::of(was).hex(), Digest::of(is).hex());
}

// `files` are those of the step in `directory`, some of them changed; `good` are what they were.
inline void reseal(FileMap& files, const FileMap& good, const std::string& directory) {
  const auto pass_on = [&](std::string_view kind, std::string_view above_name) {
    for (auto& [path, bytes] : files) {
      const std::string name = path.substr(path.rfind('/') + 1);
      if (!name.starts_with(kind) || bytes == good.at(path)) continue;
      const std::string above = above_name == "step.json"
                                    ? directory + "/step.json"
                                    : path.substr(0, path.rfind('/') + 1) + std::string(above_name);
      std::string text = text_of(files.at(above));
      repeat_digest(text, good.at(path), bytes);
      files.at(above) = bytes_of(text);
    }
  };
  pass_on("chunks-", "manifest.json");
  pass_on("manifest.json", "step.json");
  FileBytes& record = files.at(directory + "/step.json");
  const std::string text = text_of(record);
  if (record != good.at(directory + "/step.json")) record = bytes_of(sealed_record(text.substr(text.find('\n') + 1)));
}

}  // namespace milepost::testing
