// Frames: length, type, header length, JSON header, payload (docs/protocol/worker.md, "Frames").
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <sys/uio.h>
#include <unistd.h>

#include <katamari/errors.hpp>
#include <katamari/json.hpp>

namespace katamari::detail {

constexpr std::size_t frame_max_default = 16 * 1024 * 1024 + 64 * 1024;
constexpr std::size_t length_bytes = 4;
constexpr std::size_t fixed_bytes = 3;  // type and header length, counted by the length field
constexpr std::size_t header_bytes_max = 0xFFFF;
constexpr std::size_t read_bytes = 64 * 1024;  // the capacity of a Linux pipe

constexpr std::size_t kept_bytes_max = 1024 * 1024;  // a rare large frame does not stay resident

constexpr int exit_usage = 64;     // EX_USAGE
constexpr int exit_protocol = 76;  // EX_PROTOCOL

// What travels in a call or an answer. Without a content type it is JSON.
struct Payload {
  std::string bytes;
  std::string content_type;
};

struct Frame {
  char type = 0;
  json header;
  std::string payload;
};

// When the two ends no longer understand each other, or the other end is gone, there is nobody to
// answer and no state worth unwinding for: other threads may be in the middle of calls.
[[noreturn]] inline void give_up(const std::string& reason) {
  std::fflush(stdout);
  std::fprintf(stderr, "katamari: %s\n", reason.c_str());
  std::_Exit(exit_protocol);
}

inline std::size_t big_endian(const char* bytes, std::size_t count) {
  std::size_t number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    number = number << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return number;
}

// Collects bytes and cuts them into frames, so that a reader who must not wait can stop anywhere.
class FrameReader {
 public:
  explicit FrameReader(int descriptor) : descriptor_(descriptor) {}

  void set_frame_max(std::size_t bytes) { frame_max_ = bytes; }

  // Reads once, which waits if nothing is there. False at the end of the descriptor.
  bool fill() {
    if (begin_ == end_) {
      begin_ = end_ = 0;
      if (buffer_.size() > kept_bytes_max) std::string().swap(buffer_);
    }
    if (buffer_.size() - end_ < read_bytes) make_room();
    ssize_t count;
    do {
      count = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    } while (count < 0 && errno == EINTR);
    if (count < 0) give_up(std::string("cannot read descriptor 3: ") + std::strerror(errno));
    if (count == 0 && begin_ != end_) give_up("descriptor 3 ended in the middle of a frame");
    end_ += static_cast<std::size_t>(count);
    return count > 0;
  }

  // The next frame, if it is all there.
  std::optional<Frame> take() {
    const std::size_t have = end_ - begin_;
    if (have < length_bytes) return std::nullopt;
    const char* start = buffer_.data() + begin_;
    const std::size_t length = big_endian(start, length_bytes);
    if (length > frame_max_ || length < fixed_bytes) {
      give_up("the manager sent a frame of " + std::to_string(length) + " bytes; allowed are " +
              std::to_string(fixed_bytes) + " to " + std::to_string(frame_max_));
    }
    if (have < length_bytes + length) return std::nullopt;
    const std::size_t header_bytes = big_endian(start + length_bytes + 1, 2);
    if (fixed_bytes + header_bytes > length) give_up("the manager sent a header beyond its frame");

    const char* header = start + length_bytes + fixed_bytes;
    Frame frame;
    frame.type = start[length_bytes];
    frame.header = json::parse(header, header + header_bytes, nullptr, false);
    if (!frame.header.is_object()) give_up("the manager sent a header that is no JSON object");
    frame.payload.assign(header + header_bytes, length - fixed_bytes - header_bytes);
    begin_ += length_bytes + length;
    return frame;
  }

 private:
  void make_room() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    // Doubling keeps a large frame from being copied once for each read.
    if (buffer_.size() - end_ < read_bytes) {
      buffer_.resize(std::max(end_ + read_bytes, 2 * buffer_.size()));
    }
  }

  int descriptor_;
  std::size_t frame_max_ = frame_max_default;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// The first characters of `text`, at most `bytes_max` bytes, with replacement characters where it
// is not UTF-8.
inline std::string short_text(const std::string& text, std::size_t bytes_max) {
  const std::string quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  auto readable = json::parse(quoted).get<std::string>();
  if (readable.size() <= bytes_max) return readable;
  const auto continues = [&](std::size_t at) { return (readable[at] & 0xC0) == 0x80; };
  while (bytes_max > 0 && continues(bytes_max)) --bytes_max;
  readable.resize(bytes_max);
  return readable;
}

// Writes one frame; the caller holds the lock. Throws TooLarge before anything is written.
// Text in a header that is not UTF-8 gets replacement characters: an error's message must arrive.
inline void write_frame(int descriptor, std::size_t frame_max, char type, const json& header,
                        std::string_view payload) {
  const std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  const std::size_t length = fixed_bytes + text.size() + payload.size();
  if (text.size() > header_bytes_max) {
    throw TooLarge("a header of " + std::to_string(text.size()) + " bytes; allowed are " +
                   std::to_string(header_bytes_max));
  }
  if (length > frame_max) {
    throw TooLarge("a frame of " + std::to_string(length) + " bytes; allowed are " +
                   std::to_string(frame_max));
  }

  std::string head(length_bytes + fixed_bytes, '\0');
  for (std::size_t i = 0; i < length_bytes; ++i) {
    head[i] = static_cast<char>(length >> (24 - 8 * i));
  }
  head[4] = type;
  head[5] = static_cast<char>(text.size() >> 8);
  head[6] = static_cast<char>(text.size());
  head += text;

  std::size_t done = 0;
  const std::size_t total = head.size() + payload.size();
  while (done < total) {
    iovec parts[2];
    int count = 0;
    if (done < head.size()) parts[count++] = {head.data() + done, head.size() - done};
    const std::size_t skip = done > head.size() ? done - head.size() : 0;
    if (skip < payload.size()) {
      parts[count++] = {const_cast<char*>(payload.data()) + skip, payload.size() - skip};
    }
    const ssize_t written = ::writev(descriptor, parts, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) give_up(std::string("cannot write descriptor 4: ") + std::strerror(errno));
    done += static_cast<std::size_t>(written);
  }
}

}  // namespace katamari::detail
