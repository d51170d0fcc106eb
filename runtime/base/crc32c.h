/* SPDX-License-Identifier: MIT
 *
 * crc32c (Castagnoli): by the processor where it can, else eight tables. For what is kept in mapped
 * files, where a kill or a fault may leave half of it.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_BASE_CRC32C_H
#define CRIER_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** Goes on from `crc`: begin with ~0u, and take the complement at the end. */
uint32_t crier_crc32c(uint32_t crc, const void *data, size_t n);

#endif
