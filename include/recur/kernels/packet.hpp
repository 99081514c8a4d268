// SPDX-License-Identifier: MIT
//
// Vector registers. The only file that touches Eigen::internal: Eigen knows the instruction set,
// and its packet primitives are the same for SSE, AVX, AVX-512, NEON and plain scalars.
#pragma once

#include <bit>       // std::bit_cast
#include <cmath>     // std::abs, std::copysign, std::fma
#include <cstddef>   // std::size_t
#include <cstdint>   // std::uint32_t
#include <cstring>   // std::memcpy
#include <iterator>  // std::size
#include <limits>
#include <type_traits>

#include "recur/config.hpp"
#include "recur/kernels/register_parts.hpp"

// GCC: vector types as template arguments lose their alignment attribute, which nothing here reads.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"
#endif

namespace recur::inline RECUR_ABI::kernels {

namespace detail {

namespace packets = Eigen::internal;

// Eigen's packet of `Width` scalars, found by halving the widest one.
template <class Packet, int Width, bool Found = packets::unpacket_traits<Packet>::size == Width>
struct FindPacket {
  using type = typename FindPacket<typename packets::unpacket_traits<Packet>::half, Width>::type;
};
template <class Packet, int Width>
struct FindPacket<Packet, Width, true> {
  using type = Packet;
};
template <class Scalar, int Width>
struct PacketOf {
  using type = typename FindPacket<typename packets::packet_traits<Scalar>::type, Width>::type;
};
template <class Scalar>
struct PacketOf<Scalar, 1> {
  using type = Scalar;
};

template <class Packet>
constexpr int smallest_packet() {
  using Half = typename packets::unpacket_traits<Packet>::half;
  if constexpr (std::is_same_v<Half, Packet>) {
    return packets::unpacket_traits<Packet>::size;
  } else {
    return smallest_packet<Half>();
  }
}

// Eigen's own primitives, but for the overloads below.
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_multiply_add(const Packet& a, const Packet& b, const Packet& c) {
  return packets::pmadd(a, b, c);
}
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_max(const Packet& x, const Packet& bound) {
  return packets::pmax(x, bound);
}
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_min(const Packet& x, const Packet& bound) {
  return packets::pmin(x, bound);
}
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_abs(const Packet& x) {
  return packets::pabs(x);
}
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_minus_abs(const Packet& x) {
  using Scalar = typename packets::unpacket_traits<Packet>::type;
  if constexpr (packets::unpacket_traits<Packet>::size == 1) {
    return -packets::pabs(x);
  } else {
    return packets::por(x, packets::pset1<Packet>(Scalar(-0.0)));
  }
}
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_with_sign_of(const Packet& a, const Packet& x) {
  using Scalar = typename packets::unpacket_traits<Packet>::type;
  if constexpr (packets::unpacket_traits<Packet>::size == 1) {
    using std::copysign;
    return copysign(a, x);
  } else {
    return packets::por(a, packets::pand(x, packets::pset1<Packet>(Scalar(-0.0))));
  }
}

// f of the bits of numbers, as unsigned integers, a register of them at a time.
template <class F, class Packet, class... Packets>
RECUR_ALWAYS_INLINE Packet packet_on_bits(F f, const Packet& x, const Packets&... more) {
  using Scalar = typename packets::unpacket_traits<Packet>::type;
  using Bits = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  if constexpr (std::is_same_v<Packet, Scalar>) {
    return std::bit_cast<Scalar>(f(std::bit_cast<Bits>(x), std::bit_cast<Bits>(more)...));
  } else {
#if defined(__GNUC__)  // and clang: registers have operators; Eigen has no 64-bit integers in 3.4
    typedef Bits Lanes __attribute__((vector_size(sizeof(Packet))));
    return std::bit_cast<Packet>(Lanes(f(std::bit_cast<Lanes>(x), std::bit_cast<Lanes>(more)...)));
#else
    struct Lanes {
      Bits lane[sizeof(Packet) / sizeof(Bits)];
    };
    Lanes lanes = std::bit_cast<Lanes>(x);
    for (std::size_t k = 0; k < std::size(lanes.lane); ++k) {
      lanes.lane[k] = f(lanes.lane[k], std::bit_cast<Lanes>(more).lane[k]...);
    }
    return std::bit_cast<Packet>(lanes);
#endif
  }
}
template <class Packet>
RECUR_ALWAYS_INLINE Packet packet_where_positive(const Packet& y, const Packet& a,
                                                 const Packet& b) {
  if constexpr (packets::unpacket_traits<Packet>::size == 1) {
    return y > Packet(0) ? a : b;
  } else {
    return packets::pselect(packets::pcmp_lt(packets::pset1<Packet>(0), y), a, b);
  }
}

template <class Packet>
RECUR_ALWAYS_INLINE void packet_keep_in_register([[maybe_unused]] Packet& x) {
#if defined(__GNUC__) && defined(EIGEN_VECTORIZE_AVX512)
  if constexpr (packets::unpacket_traits<Packet>::size > 1) {
    asm("" : "+v"(x));
  }
#elif defined(__GNUC__) && defined(EIGEN_VECTORIZE_SSE)
  if constexpr (packets::unpacket_traits<Packet>::size > 1) {
    asm("" : "+x"(x));
  }
#elif defined(__GNUC__) && defined(__aarch64__) && defined(EIGEN_VECTORIZE_NEON)
  if constexpr (packets::unpacket_traits<Packet>::size > 1) {
    asm("" : "+w"(x));
  }
#endif
}

// Entries are 32 bits of any type.
template <class Entry>
RECUR_ALWAYS_INLINE float packet_lookup(const Entry* table, const float& index) {
  return std::bit_cast<float>(table[std::bit_cast<std::uint32_t>(index) % 16]);
}

// The first `count` scalars, 0 … width; the others are zero. In their own instructions where
// register_parts.hpp has them, else by a buffer, in copies of fixed sizes: a copy of any size is a
// call.
template <int Size, class Scalar>
RECUR_ALWAYS_INLINE void copy_few(const Scalar* from, Scalar* to, Index count) {
  if constexpr (Size > 0) {
    if ((count & Size) != 0) {
      std::memcpy(to, from, Size * sizeof(Scalar));
      from += Size;
      to += Size;
    }
    copy_few<Size / 2>(from, to, count);
  }
}
template <class Packet, class Scalar>
RECUR_ALWAYS_INLINE Packet packet_load_part(const Scalar* from, Index count) {
  if constexpr (requires { RegisterParts<Packet>::load(from, count); }) {
    return RegisterParts<Packet>::load(from, count);
  } else {
    constexpr int width = packets::unpacket_traits<Packet>::size;
    Scalar buffer[width] = {};
    copy_few<width>(from, buffer, count);
    return packets::ploadu<Packet>(buffer);
  }
}
template <class Packet, class Scalar>
RECUR_ALWAYS_INLINE void packet_store_part(const Packet& x, Scalar* to, Index count) {
  if constexpr (requires { RegisterParts<Packet>::store(x, to, count); }) {
    RegisterParts<Packet>::store(x, to, count);
  } else {
    constexpr int width = packets::unpacket_traits<Packet>::size;
    Scalar buffer[width];
    packets::pstoreu(buffer, x);
    copy_few<width>(buffer, to, count);
  }
}

template <class Packet, int Width>
RECUR_ALWAYS_INLINE void packet_transpose(packets::PacketBlock<Packet, Width>& square) {
  packets::ptranspose(square);
}

// Where vectors round a · b + c once, single scalars do: the same bits at every width. Elsewhere
// std::fma would be a slow function.
#if RECUR_HAS_MULTIPLY_ADD
RECUR_ALWAYS_INLINE float packet_multiply_add(const float& a, const float& b, const float& c) {
  return std::fma(a, b, c);
}
RECUR_ALWAYS_INLINE double packet_multiply_add(const double& a, const double& b, const double& c) {
  return std::fma(a, b, c);
}
#endif

// AVX-512: GCC 12 warns of an uninitialised value inside _mm512_min_ps and its kin, which Eigen
// calls (GCC bug 105593), and no pragma silences it; the zero-masked forms with a full mask are the
// same instructions. Eigen's comparisons detour through full-width masks.
#ifdef EIGEN_VECTORIZE_AVX512
using Floats16 = packets::Packet16f;
using Doubles8 = packets::Packet8d;
RECUR_ALWAYS_INLINE Floats16 packet_max(const Floats16& x, const Floats16& bound) {
  return _mm512_maskz_max_ps(0xffff, bound, x);  // the second operand when one is NaN
}
RECUR_ALWAYS_INLINE Doubles8 packet_max(const Doubles8& x, const Doubles8& bound) {
  return _mm512_maskz_max_pd(0xff, bound, x);
}
RECUR_ALWAYS_INLINE Floats16 packet_min(const Floats16& x, const Floats16& bound) {
  return _mm512_maskz_min_ps(0xffff, bound, x);
}
RECUR_ALWAYS_INLINE Doubles8 packet_min(const Doubles8& x, const Doubles8& bound) {
  return _mm512_maskz_min_pd(0xff, bound, x);
}
RECUR_ALWAYS_INLINE Floats16 packet_where_positive(const Floats16& y, const Floats16& a,
                                                   const Floats16& b) {
  return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(_mm512_setzero_ps(), y, _CMP_LT_OQ), a);
}
RECUR_ALWAYS_INLINE Doubles8 packet_where_positive(const Doubles8& y, const Doubles8& a,
                                                   const Doubles8& b) {
  return _mm512_mask_mov_pd(b, _mm512_cmp_pd_mask(_mm512_setzero_pd(), y, _CMP_LT_OQ), a);
}
template <class Entry>
RECUR_ALWAYS_INLINE Floats16 packet_lookup(const Entry* table, const Floats16& index) {
  return _mm512_maskz_permutexvar_ps(0xffff, _mm512_castps_si512(index),
                                     _mm512_castsi512_ps(_mm512_load_si512(table)));
}
template <class Entry>
RECUR_ALWAYS_INLINE packets::Packet8f packet_lookup(const Entry* table,
                                                    const packets::Packet8f& index) {
  return _mm512_castps512_ps256(packet_lookup(table, _mm512_zextps256_ps512(index)));
}
template <class Entry>
RECUR_ALWAYS_INLINE packets::Packet4f packet_lookup(const Entry* table,
                                                    const packets::Packet4f& index) {
  return _mm512_castps512_ps128(packet_lookup(table, _mm512_zextps128_ps512(index)));
}
#endif

}  // namespace detail

/// Scalars in the widest register of the instruction set compiled for; 1 where there is none.
template <class Scalar>
inline constexpr int native_width = Eigen::internal::packet_traits<Scalar>::size;

/// The narrowest register there is; below it, single scalars.
template <class Scalar>
inline constexpr int smallest_width =
    native_width<Scalar> == 1
        ? 1
        : detail::smallest_packet<typename Eigen::internal::packet_traits<Scalar>::type>();

/// Vector registers of the machine: 32 with AVX-512 and on 64-bit ARM, else 16.
inline constexpr int register_count = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;

/// Whether a · b + c is one instruction.
inline constexpr bool has_multiply_add = RECUR_HAS_MULTIPLY_ADD != 0;

/// Whether a register can be a table of sixteen numbers, looked up in one instruction.
#ifdef EIGEN_VECTORIZE_AVX512
template <class Scalar>
inline constexpr bool has_lookup = std::is_same_v<Scalar, float>;
#else
template <class Scalar>
inline constexpr bool has_lookup = false;
#endif

/// `Width` scalars that are computed with at once. Width 1 is a plain scalar.
template <class Scalar_, int Width = native_width<Scalar_>>
struct Vec {
  using Scalar = Scalar_;
  using Packet = typename detail::PacketOf<Scalar, Width>::type;
  static constexpr int width = Width;

  Packet p;

  Vec() = default;
  RECUR_ALWAYS_INLINE Vec(Packet packet)  // NOLINT(google-explicit-constructor)
      requires(Width > 1)
      : p(packet) {}
  RECUR_ALWAYS_INLINE explicit Vec(Scalar value) : p(Eigen::internal::pset1<Packet>(value)) {}
  RECUR_ALWAYS_INLINE explicit Vec(int value) requires(!std::is_same_v<Scalar, int>)
      : Vec(Scalar(value)) {}

  static RECUR_ALWAYS_INLINE Vec load(const Scalar* from) {
    return make(Eigen::internal::ploadu<Packet>(from));
  }
  RECUR_ALWAYS_INLINE void store(Scalar* to) const { Eigen::internal::pstoreu(to, p); }

  /// The first `count` scalars; the others are zero.
  static RECUR_ALWAYS_INLINE Vec load(const Scalar* from, Index count) {
    return make(detail::packet_load_part<Packet>(from, count));
  }
  RECUR_ALWAYS_INLINE void store(Scalar* to, Index count) const {
    detail::packet_store_part(p, to, count);
  }

  friend RECUR_ALWAYS_INLINE Vec operator+(const Vec& a, const Vec& b) {
    return make(Eigen::internal::padd(a.p, b.p));
  }
  friend RECUR_ALWAYS_INLINE Vec operator-(const Vec& a, const Vec& b) {
    return make(Eigen::internal::psub(a.p, b.p));
  }
  friend RECUR_ALWAYS_INLINE Vec operator*(const Vec& a, const Vec& b) {
    return make(Eigen::internal::pmul(a.p, b.p));
  }
  friend RECUR_ALWAYS_INLINE Vec operator/(const Vec& a, const Vec& b) {
    return make(Eigen::internal::pdiv(a.p, b.p));
  }

  /// a · b + c, rounded once where the machine can.
  friend RECUR_ALWAYS_INLINE Vec multiply_add(const Vec& a, const Vec& b, const Vec& c) {
    return make(detail::packet_multiply_add(a.p, b.p, c.p));
  }

  /// The greater of x and bound, the smaller of the two; NaN in x stays NaN.
  friend RECUR_ALWAYS_INLINE Vec at_least(const Vec& x, const Vec& bound) {
    return make(detail::packet_max(x.p, bound.p));
  }
  friend RECUR_ALWAYS_INLINE Vec at_most(const Vec& x, const Vec& bound) {
    return make(detail::packet_min(x.p, bound.p));
  }

  /// Keeps in a register what was loaded into x, or computed and rounded. Without it GCC reads the
  /// memory again in each of up to four instructions that use it, and takes a product that is added
  /// to something into a multiply_add.
  friend RECUR_ALWAYS_INLINE void keep_in_register(Vec& x) { detail::packet_keep_in_register(x.p); }

  friend RECUR_ALWAYS_INLINE Vec abs(const Vec& x) { return make(detail::packet_abs(x.p)); }
  /// -|x|, in one instruction.
  friend RECUR_ALWAYS_INLINE Vec minus_abs(const Vec& x) {
    return make(detail::packet_minus_abs(x.p));
  }

  /// The sum of all lanes.
  friend RECUR_ALWAYS_INLINE Scalar sum(const Vec& x) { return Eigen::internal::predux(x.p); }

  /// a ≥ 0 with the sign of x, be it zero or NaN.
  friend RECUR_ALWAYS_INLINE Vec with_sign_of(const Vec& a, const Vec& x) {
    return make(detail::packet_with_sign_of(a.p, x.p));
  }

  /// The bits of x moved up by the width of the mantissa: the lowest ones become the exponent.
  /// float and double only.
  friend RECUR_ALWAYS_INLINE Vec low_bits_as_exponent(const Vec& x) requires(
      std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>) {
    return make(detail::packet_on_bits(
        [](auto bits) { return bits << (std::numeric_limits<Scalar>::digits - 1); }, x.p));
  }

  /// The bits of a plus those of x moved up by `up`, as whole numbers.
  friend RECUR_ALWAYS_INLINE Vec add_bits(const Vec& a, const Vec& x, int up) requires(
      has_lookup<Scalar>) {
    return make(detail::packet_on_bits(
        [up](auto bits, auto more) { return bits + (more << up); }, a.p, x.p));
  }

  /// Of the table, in each lane, what the lowest four bits of x name, after moving x's bits down by
  /// `down`. The table starts at a multiple of 64 bytes.
  template <class Entry>
  friend RECUR_ALWAYS_INLINE Vec lookup(const Entry (&table)[16], const Vec& x, int down) requires(
      has_lookup<Scalar>) {
    return make(detail::packet_lookup(
        table, detail::packet_on_bits([down](auto bits) { return bits >> down; }, x.p)));
  }

  /// a where y > 0, else b.
  friend RECUR_ALWAYS_INLINE Vec where_positive(const Vec& y, const Vec& a, const Vec& b) {
    return make(detail::packet_where_positive(y.p, a.p, b.p));
  }

 private:
  static RECUR_ALWAYS_INLINE Vec make(const Packet& packet) {
    Vec v;
    v.p = packet;
    return v;
  }
};

}  // namespace recur::inline RECUR_ABI::kernels

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
