#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/chunks.hpp"

namespace bough::ops {

/// A hash index over records that are linked by index through their member `chain`. About one
/// record a bucket. It grows by one bucket at a time (linear hashing), so no insertion ever waits
/// for a rehash of everything. Index 0 means none. The caller locks, and keeps what the hash is
/// made of unchanged while a record is in.
template <class Records, class HashOf>
class ChainIndex {
 public:
  explicit ChainIndex(Records& records) noexcept : records_(records) { reset(); }

  template <class Same>
  [[nodiscard]] std::uint32_t find(std::uint32_t hash, Same same) const {
    std::uint32_t index = buckets_[bucket_of(hash)];
    while (index != 0 && !same(records_[index])) index = records_[index].chain;
    return index;
  }

  /// Makes room for one more, so that insert() cannot fail.
  void reserve() {
    if (count_ >= buckets_.capacity()) buckets_.add();
  }
  void insert(std::uint32_t index) noexcept {
    push(bucket_of(HashOf{}(records_[index])), index);
    if (++count_ > size_) split();
  }
  void erase(std::uint32_t index) noexcept {
    std::uint32_t* link = &buckets_[bucket_of(HashOf{}(records_[index]))];
    while (*link != index) link = &records_[*link].chain;
    *link = records_[index].chain;
    --count_;
  }
  /// Empty, and at its first size.
  void reset() noexcept {
    if (count_ == 0 && size_ == Buckets::kChunk) return;
    buckets_.shrink();
    for (std::uint32_t i = 0; i < Buckets::kChunk; ++i) buckets_[i] = 0;
    size_ = half_ = Buckets::kChunk;
    count_ = 0;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return buckets_.bytes(); }

 private:
  using Buckets = Chunks<std::uint32_t, 10>;

  [[nodiscard]] std::uint32_t bucket_of(std::uint32_t hash) const noexcept {
    const std::uint32_t wide = hash & (2 * half_ - 1);
    return wide < size_ ? wide : wide - half_;
  }
  void push(std::uint32_t bucket, std::uint32_t index) noexcept {
    records_[index].chain = buckets_[bucket];
    buckets_[bucket] = index;
  }
  void split() noexcept {
    std::uint32_t index = buckets_[size_ - half_];
    buckets_[size_ - half_] = 0;
    buckets_[size_] = 0;
    ++size_;
    while (index != 0) {
      const std::uint32_t next = records_[index].chain;
      push(bucket_of(HashOf{}(records_[index])), index);
      index = next;
    }
    if (size_ == 2 * half_) half_ = size_;
  }

  Records& records_;
  Buckets buckets_;
  /// INVARIANT: half_ is a power of two, half_ <= size_ < 2 * half_, count_ <= size_.
  std::uint32_t size_ = 0;
  std::uint32_t half_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace bough::ops
