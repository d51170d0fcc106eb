/* SPDX-License-Identifier: MIT
 *
 * JSON text -> a tree, by the scanner: what json_loadb would make of it with JSON_DECODE_ANY, in a
 * third of the time.
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_RECORD_SCAN_TREE_H
#define CRIER_RECORD_SCAN_TREE_H

#include <jansson.h>

/** NULL: the text is no JSON that jansson would take. */
json_t *crier_scan_tree(const char *text, size_t len);

#endif
