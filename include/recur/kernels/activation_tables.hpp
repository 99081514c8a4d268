// SPDX-License-Identifier: MIT
//
// Tables of sixteen floats for activations.hpp, each as wide as one register of AVX-512. Computed
// by tests/kernels/fit_activations.py.
#pragma once

#include <cstdint>

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::kernels::detail {

// 2^(j/16) as bits, less j << 19: adding the bits of 16 k + j, moved up by 19, makes 2^(k + j/16).
alignas(64) inline constexpr std::uint32_t power_of_two_bits[16] = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};

// tanh a = value + d (c_0 + c_1 d + … + c_5 d⁵),   d = a − centre,   value = tanh(centre)
//
// for 0 ≤ a ≤ end. Which column: the last two bits of the exponent of a + shift and the first two
// of its mantissa. At the centres tanh and its slope all but are floats, and value is greater than
// what is added to it: so only the last addition rounds as much as the result. Near zero, where
// value is 0, c_0 is 1. The polynomials' error: 0.133 ulp.
struct TanhTable {
  static constexpr float shift = 0.75f;
  static constexpr float end = 9.2f;
  static constexpr int mantissa_bits = 2;

  alignas(64) static constexpr float centre[16] = {
      1.4947679f,   2.01175356f,  2.49992561f,  3.00342178f, 3.76561975f, 4.75247955f,
      5.74256134f,  6.76100922f,  8.30493164f,  0.0f,        0.0f,        0.189560384f,
      0.371940643f, 0.621947944f, 0.872608185f, 1.12209892f};
  alignas(64) static constexpr float value[16] = {
      0.904198289f, 0.964848638f, 0.98661232f,  0.995088398f, 0.998928428f, 0.999851048f,
      0.999979436f, 0.999997318f, 0.999999881f, 0.0f,         0.0f,         0.18732205f,
      0.355688006f, 0.552482843f, 0.70269686f,  0.808297753f};
  alignas(64) static constexpr float c[6][16] = {
      {0.182425424f, 0.0690670982f, 0.0265961308f, 0.00979907997f, 0.00214200909f, 0.0002978837f,
       4.11271249e-05f, 5.36443031e-06f, 2.44726209e-07f, 0.0f, 1.0f, 0.964910448f, 0.873486042f,
       0.694762707f, 0.506217122f, 0.346654743f},
      {-0.164948866f, -0.0666392669f, -0.0262400694f, -0.00975095108f, -0.00213973271f,
       -0.000297838589f, -4.11258115e-05f, -5.36444486e-06f, -2.44867181e-07f, 0.0f,
       -3.13486526e-09f, -0.180748999f, -0.310688496f, -0.383844465f, -0.355717182f, -0.280200243f},
      {0.0883465782f, 0.0412758477f, 0.0170232318f, 0.00643650629f, 0.00142250443f, 0.000198364549f,
       2.73977203e-05f, 3.5737844e-06f, 1.61174398e-07f, 0.0f, -0.333332092f, -0.287778288f,
       -0.180655524f, -0.0195241142f, 0.0812207833f, 0.110933997f},
      {-0.0248864572f, -0.0176143013f, -0.00804889388f, -0.00315462658f, -0.000707827159f,
       -9.91429843e-05f, -1.37082498e-05f, -1.78632342e-06f, -7.98768127e-08f, 0.0f,
       -8.04119845e-05f, 0.114155278f, 0.167812526f, 0.138724819f, 0.0614966154f, 0.00373382587f},
      {-0.0032564092f, 0.00470990781f, 0.00286484463f, 0.00121963012f, 0.000290628581f,
       4.10569701e-05f, 5.67937059e-06f, 7.41183612e-07f, 3.75582658e-08f, 0.0f, 0.135140762f,
       0.0958149061f, 0.0202241931f, -0.0540091731f, -0.0587773956f, -0.032350637f},
      {0.0072078458f, -0.000126312822f, -0.000715825881f, -0.000373590185f, -9.67349843e-05f,
       -1.35875371e-05f, -1.85236274e-06f, -2.49532405e-07f, -1.32972771e-08f, 0.0f, -0.0166335199f,
       -0.0595202893f, -0.0691666454f, -0.0241125375f, 0.0130067375f, 0.0185051169f}};
};

}  // namespace recur::inline RECUR_ABI::kernels::detail
