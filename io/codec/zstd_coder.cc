#include "milepost/io/codec/zstd_coder.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace milepost {
namespace {

Error malformed_frame(std::string what) { return Error(ErrorCode::corruption, "zstd frame: " + std::move(what)); }

std::size_t compress(ZSTD_CCtx* context, std::span<const std::byte> content, std::span<std::byte> out) {
  const std::size_t size = ZSTD_compress2(context, out.data(), out.size(), content.data(), content.size());
  return ZSTD_isError(size) ? 0 : size;
}

}  // namespace

void ZstdEncoder::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }
void ZstdDecoder::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

std::size_t ZstdEncoder::huffman(std::span<const std::byte> content, std::span<std::byte> out) {
  if (!huffman_) {
    std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
    if (!context) return 0;
    using Setting = std::pair<ZSTD_cParameter, int>;
    for (const auto& [parameter, value] : {Setting{ZSTD_c_compressionLevel, -7},
                                           {ZSTD_c_literalCompressionMode, ZSTD_lcm_huffman},
                                           {ZSTD_c_strategy, ZSTD_fast},
                                           {ZSTD_c_targetLength, ZSTD_TARGETLENGTH_MAX},
                                           {ZSTD_c_hashLog, 6},
                                           {ZSTD_c_windowLog, 17},
                                           {ZSTD_c_minMatch, 7}}) {
      if (ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), parameter, value))) return 0;
    }
    huffman_ = std::move(context);
  }
  return compress(huffman_.get(), content, out);
}

std::size_t ZstdEncoder::level(int level, std::span<const std::byte> content, std::span<std::byte> out) {
  if (!level_) level_.reset(ZSTD_createCCtx());
  if (!level_ || ZSTD_isError(ZSTD_CCtx_setParameter(level_.get(), ZSTD_c_compressionLevel, level))) return 0;
  return compress(level_.get(), content, out);
}

Result<void> ZstdDecoder::decode(std::span<const std::byte> frame, std::span<std::byte> content) {
  ZSTD_frameHeader header;
  if (ZSTD_getFrameHeader(&header, frame.data(), frame.size()) != 0) return malformed_frame("its header is malformed");
  if (header.frameType != ZSTD_frame) return malformed_frame("it is a skippable frame");
  if (header.frameContentSize != content.size()) {
    return malformed_frame("it says that it holds another number of bytes than the " + std::to_string(content.size()) +
                           " expected");
  }
  const std::size_t frame_bytes = ZSTD_findFrameCompressedSize(frame.data(), frame.size());
  if (ZSTD_isError(frame_bytes)) return malformed_frame(ZSTD_getErrorName(frame_bytes));
  if (frame_bytes != frame.size()) return malformed_frame("bytes follow its end");
  if (!context_) context_.reset(ZSTD_createDCtx());
  if (!context_) return Error::out_of_memory().within("zstd decoder");
  // One call for the whole frame decodes in place: it needs no window besides `content`.
  const std::size_t size =
      ZSTD_decompressDCtx(context_.get(), content.data(), content.size(), frame.data(), frame.size());
  if (ZSTD_isError(size)) return malformed_frame(ZSTD_getErrorName(size));
  if (size != content.size()) return malformed_frame("it holds fewer bytes than it says");
  return {};
}

}  // namespace milepost
