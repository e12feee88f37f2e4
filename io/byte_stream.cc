#include "milepost/io/byte_stream.h"

#include "milepost/io/try.h"

#include <boost/iostreams/categories.hpp>
#include <boost/iostreams/close.hpp>
#include <boost/iostreams/filter/bzip2.hpp>
#include <boost/iostreams/filter/gzip.hpp>
#include <boost/iostreams/filter/lzma.hpp>
#include <boost/iostreams/filter/zstd.hpp>
#include <boost/iostreams/read.hpp>
#include <boost/iostreams/write.hpp>
#include <zstd.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace milepost {
namespace {

namespace bio = boost::iostreams;

constexpr std::size_t buffer_bytes = 256 << 10;
// Of 0 to 9. The usual 6 takes ten times the memory, and is little smaller where rows are alike.
constexpr std::uint32_t xz_level = 1;

class FileSource final : public ByteSource {
 public:
  explicit FileSource(ReadFile& file) : file_(file) {}

  Result<std::size_t> read(std::span<std::byte> into) override {
    MILEPOST_ASSIGN(const std::size_t bytes, read_at(file_, offset_, into));
    offset_ += bytes;
    return bytes;
  }

 private:
  ReadFile& file_;
  std::uint64_t offset_ = 0;
};

class FileSink final : public ByteSink {
 public:
  explicit FileSink(WriteFile& file) : file_(file) {}

  Result<void> write(std::span<const std::byte> data) override {
    if (buffer_.size() + data.size() > buffer_bytes) {
      MILEPOST_TRY(finish());
      if (data.size() > buffer_bytes) return put(data);
    }
    buffer_.insert(buffer_.end(), data.begin(), data.end());
    return {};
  }

  Result<void> finish() override {
    MILEPOST_TRY(put(buffer_));
    buffer_.clear();
    return {};
  }

 private:
  Result<void> put(std::span<const std::byte> data) {
    if (data.empty()) return {};
    MILEPOST_TRY(write_at(file_, offset_, data));
    offset_ += data.size();
    return {};
  }

  WriteFile& file_;
  std::uint64_t offset_ = 0;
  std::vector<std::byte> buffer_;
};

// What Boost's filters read from and write to. A failure goes through them as an exception.
struct Failure : std::exception {
  explicit Failure(Error failure) : error(std::move(failure)) {}
  Error error;
};

struct SourceDevice {
  using char_type = char;
  using category = bio::source_tag;

  std::streamsize read(char* into, std::streamsize bytes) {
    const auto read = inner->read(std::as_writable_bytes(std::span(into, static_cast<std::size_t>(bytes))));
    if (read.has_error()) throw Failure(read.error());
    return *read == 0 ? -1 : static_cast<std::streamsize>(*read);
  }

  ByteSource* inner;
};

struct SinkDevice {
  using char_type = char;
  using category = bio::sink_tag;

  std::streamsize write(const char* data, std::streamsize bytes) {
    const auto written = inner->write(std::as_bytes(std::span(data, static_cast<std::size_t>(bytes))));
    if (written.has_error()) throw Failure(written.error());
    return bytes;
  }

  ByteSink* inner;
};

Error error_of(const std::exception& thrown, ErrorCode code, const char* what) {
  if (const auto* failure = dynamic_cast<const Failure*>(&thrown)) return failure->error;
  return Error(code, std::string(what) + ": " + thrown.what());
}

template <class Decompressor> class DecompressingSource final : public ByteSource {
 public:
  explicit DecompressingSource(ReadFile& file) : inner_(file) {}

  Result<std::size_t> read(std::span<std::byte> into) override try {
    if (at_end_) return std::size_t{0};
    SourceDevice device{&inner_};
    const std::streamsize bytes = bio::read(decompressor_, device, reinterpret_cast<char*>(into.data()),
                                            static_cast<std::streamsize>(into.size()));
    if (bytes > 0) return static_cast<std::size_t>(bytes);
    at_end_ = true;
    bio::close(decompressor_, device, BOOST_IOS::in);
    return std::size_t{0};
  } catch (const std::exception& thrown) {
    return error_of(thrown, ErrorCode::corruption, "cannot be decompressed");
  }

 private:
  FileSource inner_;
  Decompressor decompressor_;
  bool at_end_ = false;
};

// Boost's takes the end of the file for the end of a frame.
class ZstdSource final : public ByteSource {
 public:
  explicit ZstdSource(ReadFile& file) : inner_(file), stream_(ZSTD_createDStream(), &ZSTD_freeDStream) {}

  Result<std::size_t> read(std::span<std::byte> into) override {
    if (!stream_) return Error(ErrorCode::no_space, "no memory to decompress with");
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !at_end_) {
        MILEPOST_ASSIGN(const std::size_t bytes, inner_.read(buffer_));
        at_end_ = bytes == 0;
        in_ = {buffer_.data(), bytes, 0};
      }
      if (at_end_ && is_between_frames_) return std::size_t{0};
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0) {
        return Error(ErrorCode::corruption,
                     std::string("cannot be decompressed: zstd error: ") + ZSTD_getErrorName(left));
      }
      is_between_frames_ = left == 0;
      if (at_end_ && !is_between_frames_ && out.pos == 0) {
        return Error(ErrorCode::corruption, "cannot be decompressed: it ends within a zstd frame");
      }
    }
    return out.pos;
  }

 private:
  FileSource inner_;
  const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(buffer_bytes);
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool at_end_ = false;
  bool is_between_frames_ = false;  // an empty file is no frame
};

template <class Compressor> class CompressingSink final : public ByteSink {
 public:
  template <class... Options>
  explicit CompressingSink(WriteFile& file, const Options&... options) : inner_(file), compressor_(options...) {}

  Result<void> write(std::span<const std::byte> data) override try {
    SinkDevice device{&inner_};
    bio::write(compressor_, device, reinterpret_cast<const char*>(data.data()),
               static_cast<std::streamsize>(data.size()));
    return {};
  } catch (const std::exception& thrown) {
    return error_of(thrown, ErrorCode::internal, "cannot be compressed");
  }

  Result<void> finish() override try {
    SinkDevice device{&inner_};
    bio::close(compressor_, device, BOOST_IOS::out);
    return inner_.finish();
  } catch (const std::exception& thrown) {
    return error_of(thrown, ErrorCode::internal, "cannot be compressed");
  }

 private:
  FileSink inner_;
  Compressor compressor_;
};

}  // namespace

Compression compression_of(std::string_view file_name) {
  if (file_name.ends_with(".gz")) return Compression::gzip;
  if (file_name.ends_with(".bz2")) return Compression::bzip2;
  if (file_name.ends_with(".xz")) return Compression::xz;
  return file_name.ends_with(".zst") ? Compression::zstd : Compression::none;
}

std::unique_ptr<ByteSource> make_byte_source(ReadFile& file, Compression compression) {
  switch (compression) {
    case Compression::gzip: return std::make_unique<DecompressingSource<bio::gzip_decompressor>>(file);
    case Compression::bzip2: return std::make_unique<DecompressingSource<bio::bzip2_decompressor>>(file);
    case Compression::xz: return std::make_unique<DecompressingSource<bio::lzma_decompressor>>(file);
    case Compression::zstd: return std::make_unique<ZstdSource>(file);
    case Compression::none: break;
  }
  return std::make_unique<FileSource>(file);
}

std::unique_ptr<ByteSink> make_byte_sink(WriteFile& file, Compression compression) {
  switch (compression) {
    case Compression::gzip: return std::make_unique<CompressingSink<bio::gzip_compressor>>(file);
    case Compression::bzip2: return std::make_unique<CompressingSink<bio::bzip2_compressor>>(file);
    case Compression::xz:
      return std::make_unique<CompressingSink<bio::lzma_compressor>>(file, bio::lzma_params(xz_level));
    case Compression::zstd: return std::make_unique<CompressingSink<bio::zstd_compressor>>(file);
    case Compression::none: break;
  }
  return std::make_unique<FileSink>(file);
}

}  // namespace milepost
