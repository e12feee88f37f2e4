// The values of a federated program: what program state is saved from, what it is loaded into, and what is released.
//
//   ProgramValue state;
//   state["round"] = 12;
//   state["model"] = model;                                       // a Tree
//   state["loss"] = make_value_reference(std::async(evaluate));   // may not be there yet
//   state["sampler"] = sampler;                                   // a Serializable of the program's own
#pragma once

#include "milepost/engine/state/tree.h"
#include "milepost/io/error.h"

#include <concepts>
#include <cstddef>
#include <future>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace milepost {

// --- Values that may not be there yet.

class MaterializableValueReference {
 public:
  virtual ~MaterializableValueReference() = default;
  // The value, which may be a leaf or a whole tree; may block, and may throw. Called on a thread of its own.
  virtual Result<Tree> get_value() = 0;
};
using ValueReference = std::shared_ptr<MaterializableValueReference>;

template <class T> struct ResultTraits { using value_type = T; };
template <class T> struct ResultTraits<Result<T>> { using value_type = T; };
// A T or a Result<T>.
template <class R, class T>
concept Gives = std::same_as<typename ResultTraits<std::remove_cvref_t<R>>::value_type, T>;
// What converts to a Tree, or a Result of that.
template <class T>
concept GivesTree = std::convertible_to<typename ResultTraits<T>::value_type, Tree>;

// A tensor F32[] of that number, in memory of its own: what a float is in a ProgramValue. A Tree would make a double of
// it, which is another number when it is printed or loaded.
Tensor tensor_of(float number);

template <GivesTree T> class FutureReference final : public MaterializableValueReference {
 public:
  explicit FutureReference(std::shared_future<T> future) : future_(std::move(future)) {}

  Result<Tree> get_value() override {
    if (!future_.valid()) return Error(ErrorCode::invalid_argument, "the future is nobody's");
    using Value = typename ResultTraits<T>::value_type;
    const Result<Value> value = future_.get();
    if (value.has_error()) return value.error();
    if constexpr (std::same_as<Value, float>) {
      return Tree(tensor_of(*value));
    } else {
      return Tree(*value);
    }
  }

 private:
  const std::shared_future<T> future_;
};

// The value of a future. Its exception becomes the reference's error; the error of a CheckpointError, that error.
template <GivesTree T> ValueReference make_value_reference(std::shared_future<T> future) {
  return std::make_shared<FutureReference<T>>(std::move(future));
}
template <GivesTree T> ValueReference make_value_reference(std::future<T> future) {
  return make_value_reference(future.valid() ? future.share() : std::shared_future<T>());
}

// --- Objects that serialize themselves.

// Both functions may return their value or a Result of it, and may throw.
template <class T>
concept Serializable = requires(const T& object, std::span<const std::byte> bytes) {
  { object.to_bytes() } -> Gives<Tree::Bytes>;
  { T::from_bytes(bytes) } -> Gives<T>;
};

// A Serializable whose type only itself knows. Never changed.
class ProgramObject {
 public:
  virtual ~ProgramObject() = default;
  // Both may throw: who calls them makes an error of it.
  virtual Result<Tree::Bytes> to_bytes() const = 0;
  // Another object of the same type.
  virtual Result<std::shared_ptr<const ProgramObject>> from_bytes(std::span<const std::byte> bytes) const = 0;
};

// The error of what was thrown; to be called in a catch block. `what` says by whom.
Error error_of_current_exception(std::string_view what);

template <Serializable T> class TypedObject final : public ProgramObject {
 public:
  explicit TypedObject(T object) : object_(std::move(object)) {}
  const T& get() const { return object_; }

  Result<Tree::Bytes> to_bytes() const override { return object_.to_bytes(); }

  Result<std::shared_ptr<const ProgramObject>> from_bytes(std::span<const std::byte> bytes) const override {
    Result<T> object = T::from_bytes(bytes);
    if (object.has_error()) return object.error();
    return std::shared_ptr<const ProgramObject>(std::make_shared<TypedObject>(std::move(object).value()));
  }

 private:
  T object_;
};

// --- Structures of all of these.

// Nested maps and lists whose leaves are those of a Tree (tensor, scalar, string, bytes, null), references, and
// Serializable objects. Paths are those of a Tree.
//
// A value type. Copies share references and objects, and tensors stay views of the same memory.
class ProgramValue {
 public:
  using List = std::vector<ProgramValue>;
  using Map = std::map<std::string, ProgramValue, std::less<>>;
  using Object = std::shared_ptr<const ProgramObject>;
  // A Tree in it is always a leaf. Neither pointer is null, but in what has been moved from.
  using Value = std::variant<Tree, List, Map, ValueReference, Object>;

  ProgramValue() = default;  // null
  ProgramValue(Tree tree);
  ProgramValue(float number) : ProgramValue(Tree(tensor_of(number))) {}
  ProgramValue(List children) : value_(std::move(children)) {}
  ProgramValue(Map children) : value_(std::move(children)) {}
  // A null pointer is a null leaf.
  ProgramValue(ValueReference reference);
  ProgramValue(Object object);
  template <class T>
  requires std::convertible_to<T&&, Tree> ProgramValue(T&& leaf) : ProgramValue(Tree(std::forward<T>(leaf))) {}
  template <class T>
  requires(Serializable<std::remove_cvref_t<T>> && !std::convertible_to<T&&, Tree>) ProgramValue(T&& object)
      : value_(Object(std::make_shared<TypedObject<std::remove_cvref_t<T>>>(std::forward<T>(object)))) {}

  static ProgramValue map(Map children = {}) { return ProgramValue(std::move(children)); }
  static ProgramValue list(List children = {}) { return ProgramValue(std::move(children)); }

  const Value& value() const { return value_; }
  // A List, Map or ValueReference; any kind of a Tree's leaf; or a Serializable object of that very type. Null if it is
  // something else.
  template <class T> const T* get_if() const {
    if constexpr (std::same_as<T, List> || std::same_as<T, Map> || std::same_as<T, ValueReference>) {
      return std::get_if<T>(&value_);
    } else if constexpr (Serializable<T>) {
      const auto* object = std::get_if<Object>(&value_);
      const auto* typed = object ? dynamic_cast<const TypedObject<T>*>(object->get()) : nullptr;
      return typed ? &typed->get() : nullptr;
    } else {
      const auto* leaf = std::get_if<Tree>(&value_);
      return leaf ? leaf->get_if<T>() : nullptr;
    }
  }

  // The child of that key; a null value becomes a map, a missing child is created as null. Throws
  // std::logic_error on anything else.
  ProgramValue& operator[](std::string_view key);

  // The node's kind for messages: a Tree's, "reference" or "object".
  std::string describe() const;

 private:
  Value value_;
};

// The value as a tree, when all is there: references by their values, objects by their bytes. Awaits all references at
// the same time, each on a thread of its own (one that stands in several places once), and returns when none of these
// is left. The first error in the order of the leaves, naming the leaf; unavailable if a thread cannot be started.
Result<Tree> materialize(const ProgramValue& value);

}  // namespace milepost
