// SPDX-License-Identifier: MIT
//
// Many steps backward: see forward_scan.hpp.
#pragma once

#include <algorithm>    // std::min
#include <type_traits>  // std::integral_constant

#include "recur/kernels/gemm_columns.hpp"
#include "recur/kernels/packed_weights.hpp"
#include "recur/kernels/pointwise.hpp"
#include "recur/kernels/quarters.hpp"

namespace recur::inline RECUR_ABI::kernels {

/// The rows of the last step, and by how much they move to the step before. See pointwise_backward.
template <class Scalar>
struct BackwardScan {
  Index rows = 0;
  SlotRows<const Scalar> slots;  ///< null where the equations do not read them
  StateRows<const Scalar> prev;
  StateRows<const Scalar> next;
  SlotRows<Scalar> d_slots;
  StateRows<const Scalar> d_output;  ///< h: null for zeros
  Index slots_step = 0;
  Index d_slots_step = 0;
  Index h_step = 0;
  Index c_step = 0;
  Index d_output_step = 0;
  bool d_before = true;  ///< false: nobody asks for the gradients by the state before the first
                         ///< step. Its product is left out, and d worth nothing afterwards

  /// How many of so many steps have products with W_hh.
  Index products(Index steps) const { return d_before ? steps : steps - 1; }

  void move() {
    slots.data += slots_step;
    prev.h += h_step;
    prev.c += c_step;
    next.h += h_step;
    next.c += c_step;
    d_slots.data += d_slots_step;
    d_output.h += d_output_step;
  }
};

namespace detail {

// C += A B, in parts as the scan's products are.
template <class Scalar>
RECUR_ALWAYS_INLINE void add_product(Index M, Index N, Index K, const GemmA<Scalar>& a,
                                     PackedB<Scalar> b, const GemmC<Scalar>& c, bool back) {
  const Index in_panels = N - b.dots;
  Manner manner{SumOf::scan, parts_from<Scalar>(in_panels), back};
  if (0 < in_panels && in_panels <= tile_columns<Scalar>) {
    const Index width = whole_registers<Scalar>(in_panels);
    const Index parts = parts_of_sum(K, width / native_width<Scalar>);
    if (parts == 1) {
      manner.parts_from = N;  // a shorter way through
    } else if (gemm_panel_in_parts<Scalar>(parts, M, in_panels, K, a, b.data, width, c,
                                           Start::accumulate, nullptr, back)) {
      if (b.dots > 0) {
        gemm_dots<Scalar>(M, b.dots, K, a, b.data + in_panels * K,
                          {c.data + in_panels, c.row_stride}, Start::accumulate, nullptr);
      }
      return;
    }
  }
  gemm<Scalar>(M, N, K, a, b, c, Start::accumulate, nullptr, manner);
}

// `Registers` sums += one row of A times one panel of B, K terms; with the same bits as
// add_product.
template <Index K, int Registers, class V, class Scalar>
RECUR_ALWAYS_INLINE void add_row(const Scalar* a, const Scalar* b, V* sum, bool back) {
  constexpr int parts = static_cast<int>(parts_of_sum(K, Registers));
  static_assert(parts > 1 || length_of_block(K, SumOf::scan) == K);
  if constexpr (Registers == 1 && parts > 1) {
    constexpr int stretches = parts / 4;
    constexpr Index length = K / parts * 4;
    V product[stretches];
    sum_by_turns<stretches>(length, K - stretches * length, a, 1, b, product);
    RECUR_UNROLL
    for (const V& stretch : product) {
      sum[0] = sum[0] + stretch;
    }
  } else {
    SumsInParts<V, 1, Registers, parts> product;
    product.compute(K / parts, K % parts, a, b, back);
    RECUR_UNROLL
    for (int r = 0; r < Registers; ++r) {
      sum[r] = product.total(product.front[0][0][r] + sum[r], 0, r);
    }
  }
}

// The products of a step, of the gradients by the slots as they stand in memory.
template <class E, int Registers, class Scalar>
struct ProductsByRows {
  using V = Vec<Scalar>;

  const Scalar* by_shared;
  const Scalar* by_apart;

  RECUR_ALWAYS_INLINE void add(const Scalar* d_slots, const math::Slots<E, V>& /*last*/,
                               V (&d_h)[Registers], bool back) const {
    constexpr Index hidden = Registers * V::width;
    constexpr Index apart = E::gates - E::shared_gates;
    add_panels<E::shared_gates * hidden>(d_slots, by_shared, d_h, back);
    if constexpr (apart > 0) {
      add_panels<apart * hidden>(d_slots + E::gates * hidden, by_apart, d_h, back);
    }
  }

 private:
  template <Index K>
  static RECUR_ALWAYS_INLINE void add_panels(const Scalar* a, const Scalar* b, V* sum, bool back) {
    constexpr int first =
        static_cast<int>(Panels<Scalar>(Registers * V::width).width(0) / V::width);
    add_row<K, first>(a, b, sum, back);
    if constexpr (first < Registers) {
      add_row<K, Registers - first>(a, b + K * first * V::width, sum + first, back);
    }
  }
};

// The same of units that are one register, of the gradients as they stand there.
template <class E, class Scalar>
struct ProductsByQuarters {
  using V = Vec<Scalar>;

  TurnedMatrix<Scalar, E::shared_gates * V::width> by_shared;
  TurnedMatrix<Scalar, (E::gates - E::shared_gates) * V::width> by_apart;

  RECUR_ALWAYS_INLINE void add(const Scalar* /*d_slots*/, const math::Slots<E, V>& d_slots,
                               V (&d_h)[1], bool /*back*/) const {
    d_h[0] = by_shared.add_product(d_h[0], d_slots.data());
    d_h[0] = by_apart.add_product(d_h[0], d_slots.data() + E::gates);
  }
};

// All steps of one sequence, of a layer whose units are so many whole registers: the gradients by
// the states stay in registers. (H = 16: a seventh of a training step's time.) Flattened: GCC had
// made an LSTM's equations a call (H = 16: 6 %).
template <int Registers, class Products, class E, class Scalar>
RECUR_FLATTEN void backward_scan_of_block(const E& equations, const Products& products, Index steps,
                                          const BackwardScan<Scalar>& last,
                                          const StateRows<Scalar>& d) {
  using V = Vec<Scalar>;
  constexpr Index hidden = Registers * V::width;
  constexpr WholeRegister whole;
  BackwardScan<Scalar> at = last;
  const Index with_product = last.products(steps);
  V d_h[Registers];
  V d_c[Registers];
  RECUR_UNROLL
  for (int r = 0; r < Registers; ++r) {
    const auto gradient = load_state<E, V>(StateRows<const Scalar>(d), r * V::width, whole);
    d_h[r] = gradient.h;
    d_c[r] = gradient.c;
  }
  for (Index k = 0; k < steps; ++k) {
    if (k > 0) {
      at.move();
    }
    math::Slots<E, V> slots;
    RECUR_UNROLL
    for (int r = 0; r < Registers; ++r) {
      const Index unit = r * V::width;
      if constexpr (math::backward_reads_slots<E>) {
        slots = load_slots<E, V>(at.slots.data + unit, hidden, whole);
      }
      math::UnitState<V> gradient{d_h[r], d_c[r]};
      if (at.d_output.h != nullptr) {
        gradient.h = gradient.h + V::load(at.d_output.h + unit);
      }
      equations.backward(slots, load_state<E, V>(at.prev, unit, whole),
                         load_state<E, V>(at.next, unit, whole), gradient);
      store_slots(slots, at.d_slots.data + unit, hidden, whole);
      // Rounded here, as where they are stored: GCC would round a GRU's product with what is added
      // to it next.
      keep_in_register(gradient.h);
      keep_in_register(gradient.c);
      d_h[r] = gradient.h;
      d_c[r] = gradient.c;
    }
    if (k == with_product) {
      break;
    }
    products.add(at.d_slots.data, slots, d_h, k % 2 == 1);
  }
  RECUR_UNROLL
  for (int r = 0; r < Registers; ++r) {
    store_state<E>(math::UnitState<V>{d_h[r], d_c[r]}, d, r * V::width, whole);
  }
}

}  // namespace detail

/// `steps` steps, for cells of one product and without projection. Inlined: called, a step of few
/// units takes a tenth longer. by_shared: the rows of W_hh of the shared gates; by_apart: those of
/// the others. d: in: gradients by the state after the last step; out: by the one before the first
/// (see d_before).
template <math::Equations E, class Scalar>
RECUR_ALWAYS_INLINE void backward_scan(const E& equations, Index hidden, PackedB<Scalar> by_shared,
                                       PackedB<Scalar> by_apart, Index steps,
                                       const BackwardScan<Scalar>& last,
                                       const StateRows<Scalar>& d) {
  constexpr Index apart = E::gates - E::shared_gates;
  const auto scan = [&](auto count) {
    BackwardScan<Scalar> at = last;
    const Index products = last.products(steps);
    for (Index k = 0; k < steps; ++k) {
      if (k > 0) {
        at.move();
      }
      const bool back = k % 2 == 1;
      pointwise_backward<E, Scalar>(equations, count, hidden, {0, hidden}, at.slots, at.prev,
                                    at.next, at.d_slots, d, at.d_output);
      if (k == products) {
        break;
      }
      detail::add_product<Scalar>(count, hidden, E::shared_gates * hidden,
                                  {at.d_slots.data, at.d_slots.stride, 1}, by_shared,
                                  {d.h, d.h_stride}, back);
      if constexpr (apart > 0) {
        detail::add_product<Scalar>(count, hidden, apart * hidden,
                                    {at.d_slots.data + E::gates * hidden, at.d_slots.stride, 1},
                                    by_apart, {d.h, d.h_stride}, back);
      }
    }
  };
  // Registers of a panel, or, of tiles of three, of two, which are summed in parts both; of
  // products that are not so long that their code would be. (AVX2: an RNN of 32 units trains in a
  // sixth less time, LSTM and GRU in a tenth.)
  constexpr Index width = native_width<Scalar>;
  constexpr Index most_terms = 256;
  constexpr int most = static_cast<int>(
      std::min<Index>(tile_vectors == 3 ? 4 : tile_vectors, most_terms / (E::gates * width)));
  if constexpr (most > 0) {
    if (last.rows == 1 && hidden % width == 0 && 0 < hidden && hidden <= most * width) {
      if constexpr (detail::has_quarters<Scalar>) {
        if (hidden == width && last.products(steps) >= detail::enough_products) {
          const detail::ProductsByQuarters<E, Scalar> products{by_shared.data, by_apart.data};
          detail::backward_scan_of_block<1>(equations, products, steps, last, d);
          return;
        }
      }
      detail::with_constant<most>(hidden / width, [&](auto count) {
        const detail::ProductsByRows<E, count.value, Scalar> products{by_shared.data,
                                                                      by_apart.data};
        detail::backward_scan_of_block<count.value>(equations, products, steps, last, d);
      });
      return;
    }
  }
  if (last.rows == 1) {
    scan(OneRow());  // known to the compiler: a third less time
  } else {
    scan(last.rows);
  }
}

/// The same by threads that share the units: each takes its own from their columns of the product
/// to the equations of the step before, so that all meet once a step.
template <math::Equations E, class Scalar>
void backward_scan_by_units(int threads, const E& equations, Index hidden,
                            PackedB<Scalar> by_shared, PackedB<Scalar> by_apart, Index steps,
                            BackwardScan<Scalar> at, const StateRows<Scalar>& d) {
  constexpr Index apart = E::gates - E::shared_gates;
  const auto for_each_share = [&](auto&& f) {
    parallel_columns<Scalar>(threads, at.rows, hidden, hidden, by_shared.dots, f);
  };
  const auto equations_of = [&](const BackwardScan<Scalar>& step, Index first, Index last) {
    pointwise_backward<E, Scalar>(equations, step.rows, hidden, {first, last}, step.slots,
                                  step.prev, step.next, step.d_slots, d, step.d_output);
  };
  for_each_share([&](Index first, Index last) { equations_of(at, first, last); });
  const Index products = at.products(steps);
  for (Index k = 0; k < products; ++k) {
    BackwardScan<Scalar> before = at;
    const bool ends = k + 1 == steps;
    if (!ends) {
      before.move();
    }
    for_each_share([&](Index first, Index last) {
      const auto add_product = [&](Index slot, Index gates, PackedB<Scalar> w) {
        gemm_of_columns<Scalar>(first, last, k % 2 == 1, at.rows, hidden, gates * hidden,
                                {at.d_slots.data + slot * hidden, at.d_slots.stride, 1}, w,
                                {d.h, d.h_stride}, Start::accumulate);
      };
      add_product(0, E::shared_gates, by_shared);
      if constexpr (apart > 0) {
        add_product(E::gates, apart, by_apart);
      }
      if (!ends) {
        equations_of(before, first, last);
      }
    });
    at = before;
  }
}

}  // namespace recur::inline RECUR_ABI::kernels
