// e^x in plain operations, so that a loop of it is vectorized.
#pragma once
#include <cstdint>
#include <cstring>

namespace native {
namespace {  // a copy for each file, as in threads.h

// e^x to 2e-7 of itself. NaN stays NaN; below -87, where e^x would be denormal, it is 0.
inline float Exp(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves an integer in the last bits
  float in = x > 88.0f ? 88.0f : x;
  in = in < -87.0f ? -87.0f : in;
  const float shifted = in * 1.44269504f + kRound, n = shifted - kRound;
  const float r = (in - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = int32_t(uint32_t(bits) << 23) + 0x3f800000;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return x < -87.0f ? 0.0f : p * power;
}

}  // namespace
}  // namespace native
