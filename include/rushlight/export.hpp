/// \file
/// Symbol visibility. Everything the library exports carries RUSHLIGHT_API; all else is hidden. RUSHLIGHT_COLD marks
/// what only failures call: compilers keep what leads there small and out of the way.
#pragma once

#if defined(_WIN32) && defined(RUSHLIGHT_SHARED)
#if defined(RUSHLIGHT_BUILDING)
#define RUSHLIGHT_API __declspec(dllexport)
#else
#define RUSHLIGHT_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define RUSHLIGHT_API __attribute__((visibility("default")))
#else
#define RUSHLIGHT_API
#endif

#if defined(__GNUC__)
#define RUSHLIGHT_COLD __attribute__((cold))
#else
#define RUSHLIGHT_COLD
#endif
