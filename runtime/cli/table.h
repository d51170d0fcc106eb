/* SPDX-License-Identifier: MIT
 *
 * Columns of a table for people, as wide as the widest text in them, counted in characters.
 *
 * Thread: the process's main thread.
 */
#ifndef CRIER_CLI_TABLE_H
#define CRIER_CLI_TABLE_H

#include <jansson.h>

/** The width of a column of these objects' members. */
int crier_column_width(const json_t *list, const char *member, int least);
/** A text, filled up with blanks, and one blank more; on one line, whatever it holds. */
void crier_print_cell(const char *text, int width);

#endif
