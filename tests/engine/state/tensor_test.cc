#include "milepost/engine/state/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>

namespace milepost {
namespace {

using ::testing::HasSubstr;
constexpr std::int64_t huge = std::int64_t{1} << 62;

TEST(Shape, CountsElementsWithoutOverflow) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3}), 6);
  EXPECT_EQ(element_count({2, 0, 3}), 0);
  EXPECT_EQ(element_count({huge}), huge);
  EXPECT_FALSE(element_count({huge, 2}));
  EXPECT_FALSE(element_count({huge, huge, 4}));
  EXPECT_FALSE(element_count({0, huge, 2}));
  EXPECT_FALSE(element_count({-1}));
  EXPECT_FALSE(element_count({0, -1}));
  EXPECT_EQ(to_string(Shape{2, 3}), "[2, 3]");
  EXPECT_EQ(to_string(Shape{}), "[]");
}

TEST(Shape, CountsBytesOfPackedTensors) {
  EXPECT_EQ(packed_bytes(DType::f32, {2, 3}), 24U);
  EXPECT_EQ(packed_bytes(DType::boolean, {}), 1U);
  EXPECT_EQ(packed_bytes(DType::f4, {2, 3}), 3U);
  EXPECT_FALSE(packed_bytes(DType::f4, {3}));
  EXPECT_EQ(packed_bytes(DType::f6_e2m3, {4}), 3U);
  EXPECT_FALSE(packed_bytes(DType::f6_e3m2, {2}));
  EXPECT_EQ(packed_bytes(DType::f6_e3m2, {0}), 0U);
  EXPECT_EQ(packed_bytes(DType::f4, {huge}), static_cast<std::uint64_t>(huge) / 2);
  EXPECT_EQ(packed_bytes(DType::f6_e2m3, {huge}), static_cast<std::uint64_t>(huge) / 4 * 3);
  EXPECT_EQ(packed_bytes(DType::u8, {huge}), static_cast<std::uint64_t>(huge));
  EXPECT_FALSE(packed_bytes(DType::u16, {huge}));
  EXPECT_FALSE(packed_bytes(DType::f64, {huge}));
}

TEST(Tensor, ViewBorrowsMemory) {
  std::array<float, 6> values{};
  const Tensor tensor = Tensor::of(values.data(), {2, 3});
  EXPECT_EQ(tensor.dtype(), DType::f32);
  EXPECT_EQ(tensor.strides(), (Strides{3, 1}));
  EXPECT_EQ(tensor.as<float>(), values.data());
  EXPECT_EQ(tensor.byte_count(), 24U);
  EXPECT_FALSE(tensor.is_abstract());
  EXPECT_FALSE(tensor.is_read_only());
  EXPECT_TRUE(tensor.is_contiguous());
  EXPECT_TRUE(tensor.check().has_value());
  const std::array<float, 6>& fixed = values;
  EXPECT_TRUE(Tensor::of(fixed.data(), {6}).is_read_only());
}

TEST(Tensor, ContiguousMeansPackedWhateverUnusedStridesSay) {
  std::array<float, 6> values{};
  EXPECT_TRUE(Tensor::of(values.data(), {1, 6}, {99, 1}).is_contiguous());
  EXPECT_FALSE(Tensor::of(values.data(), {3, 2}, {1, 3}).is_contiguous());
  EXPECT_FALSE(Tensor::of(values.data(), {6}, {0}).is_contiguous());
  EXPECT_TRUE(Tensor::of(values.data(), {0, 3}, {7, 7}).is_contiguous());
  EXPECT_TRUE(Tensor::of(values.data(), {}).is_contiguous());
}

TEST(Tensor, CheckSaysWhatIsWrong) {
  std::array<std::byte, 64> bytes{};
  void* const data = bytes.data();
  const auto fault = [](const Tensor& tensor) {
    const auto checked = tensor.check();
    if (checked.has_value()) return std::string("none");
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
    return checked.error().to_string();
  };
  EXPECT_EQ(fault(Tensor::view(data, DType::f32, {2, 2})), "none");
  EXPECT_EQ(fault(Tensor::view(data, DType::f32, {2, 2}, {-2, 0})), "none");
  EXPECT_EQ(fault(Tensor()), "none");
  EXPECT_EQ(fault(Tensor::view(static_cast<void*>(nullptr), DType::f32, {0})), "none");
  EXPECT_EQ(fault(Tensor::view(data, DType::f32, {-2})), "tensor F32[-2]: a negative extent");
  EXPECT_THAT(fault(Tensor::view(data, DType::f32, {huge, 2})), HasSubstr("more than 2^62 elements"));
  EXPECT_THAT(fault(Tensor::view(data, DType::f32, {huge})), HasSubstr("more than 2^62 bytes"));
  EXPECT_THAT(fault(Tensor::view(data, DType::f4, {3})), HasSubstr("not a whole number of bytes"));
  EXPECT_THAT(fault(Tensor::view(data, DType::f32, {2, 2}, {1})), HasSubstr("another number of dimensions"));
  EXPECT_THAT(fault(Tensor::view(data, DType::f4, {2, 2}, {1, 2})), HasSubstr("less than a byte"));
  EXPECT_THAT(fault(Tensor::view(data, DType::f32, {3}, {huge})), HasSubstr("beyond the address space"));
  EXPECT_THAT(fault(Tensor::view(data, DType::f32, {3}, {std::numeric_limits<std::int64_t>::min()})),
              HasSubstr("beyond the address space"));
  EXPECT_THAT(fault(Tensor::view(static_cast<void*>(nullptr), DType::f32, {1})), HasSubstr("its data is null"));
  EXPECT_THAT(fault(Tensor::abstract(DType::f32, Shape(65, 1))), HasSubstr("more than 64 dimensions"));
}

TEST(Tensor, AllocatesAlignedMemoryThatLivesAsLongAsACopy) {
  for (const std::int64_t bytes : {1, 63, 4096, (1 << 20) - 1, 1 << 20, (3 << 20) + 5}) {
    Tensor copy;
    {
      const auto tensor = Tensor::allocate(DType::u8, {bytes});
      ASSERT_TRUE(tensor.has_value());
      copy = *tensor;
    }
    const auto address = reinterpret_cast<std::uintptr_t>(copy.data());
    EXPECT_EQ(address % (bytes >= 1 << 20 ? 2 << 20 : 64), 0U) << bytes;
    std::memset(copy.data(), 0x5A, static_cast<std::size_t>(bytes));
    EXPECT_EQ(copy.data()[bytes - 1], std::byte{0x5A});
  }
}

TEST(Tensor, AllocateRefusesWhatCannotBe) {
  EXPECT_EQ(Tensor::allocate(DType::f32, {-1}).error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(Tensor::allocate(DType::u8, {huge}).error().code(), ErrorCode::no_space);
  const auto empty = Tensor::allocate(DType::f32, {0, 4});
  ASSERT_TRUE(empty.has_value());
  EXPECT_FALSE(empty->is_abstract());
  EXPECT_EQ(empty->byte_count(), 0U);
}

}  // namespace
}  // namespace milepost
