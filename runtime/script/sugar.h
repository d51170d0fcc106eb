/* SPDX-License-Identifier: MIT
 *
 * The Lua files of lua/crier/, built into the binary (cmake/…: see CMakeLists.txt, embed).
 */
#ifndef CRIER_SCRIPT_SUGAR_H
#define CRIER_SCRIPT_SUGAR_H

#include <stddef.h>

extern const char crier_sugar_init[];
extern const size_t crier_sugar_init_len;
/** crier.testing, for specs: never in a script's state. */
extern const char crier_sugar_testing[];
extern const size_t crier_sugar_testing_len;
/** lua/meta: the stubs for editors. */
extern const char crier_sugar_crier[];
extern const size_t crier_sugar_crier_len;

#endif
