#include "milepost/engine/item_handler.h"

#include "milepost/engine/format/json_reader.h"
#include "milepost/engine/format/names.h"
#include "milepost/io/try.h"

namespace milepost {
namespace {

std::string handled_how(std::string_view handler) {
  return handler.empty() ? "as a tree" : "by the handler " + std::string(handler);
}

// Anything else the handler did not make, though the record says so.
template <class T> Result<T> take(Tree& tree, const char* expected) {
  if (auto* value = tree.get_if<T>()) return std::move(*value);
  return Error(ErrorCode::corruption, std::string("expected ") + expected + ", found a " + tree.describe());
}

}  // namespace

Result<void> check_handler_name(std::string_view name) {
  if (name.empty() || is_file_name(name)) return {};
  return Error(
      ErrorCode::invalid_argument,
      "the name of a handler must be 1 to 255 bytes of UTF-8 without '/', control characters or a leading '.'");
}

Result<void> check_handler(const Item& item, std::string_view handler) {
  if (item.handler == handler) return {};
  return Error(ErrorCode::failed_precondition,
               "was saved " + handled_how(item.handler) + ", and cannot be restored " + handled_how(handler))
      .within("item " + item.name);
}

Result<Tree> ItemHandler<JsonText>::to_tree(const JsonText& json) {
  const auto parsed = JsonDocument::parse(json.text);
  if (parsed.has_error()) return Error(ErrorCode::invalid_argument, parsed.error().to_string());
  return Tree(json.text);
}

Result<JsonText> ItemHandler<JsonText>::from_tree(Tree tree) {
  MILEPOST_ASSIGN(std::string text, take<std::string>(tree, "a string"));
  return JsonText{std::move(text)};
}

Result<Tree::Bytes> ItemHandler<Tree::Bytes>::from_tree(Tree tree) { return take<Tree::Bytes>(tree, "bytes"); }

Result<Tensor> ItemHandler<Tensor>::from_tree(Tree tree) { return take<Tensor>(tree, "a tensor"); }

}  // namespace milepost
