/* SPDX-License-Identifier: MIT
 *
 * How much of a random or a large input a test tries. A sanitizer makes it ten times as slow and
 * looks at every access, so that a tenth of it will do there.
 */
#ifndef UNIT_ROUNDS_H
#define UNIT_ROUNDS_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif

#ifdef UNIT_SANITIZED
#define ROUNDS(n) ((n) / 10)
#else
#define ROUNDS(n) (n)
#endif

#endif
