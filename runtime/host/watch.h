/* SPDX-License-Identifier: MIT
 *
 * --watch: tells when one of the files that a script loaded has changed. The folders are watched
 * (an editor may write a new file and rename it over the old one), changes are gathered for 200 ms,
 * and only a file whose size, time or inode differs counts.
 *
 * Thread: [loop].
 */
#ifndef CRIER_WATCH_H
#define CRIER_WATCH_H

#include "base/loop.h"

struct crier_watch; /* opaque */

struct crier_watch *crier_watch_new(struct crier_loop *loop, void (*changed)(void *arg), void *arg);
/** The script is about to be loaded: what changes from now on has changed. */
void crier_watch_mark(struct crier_watch *watch);
/** Watch these absolute paths from now on, and no others. Those that were watched before and have
 *  changed since the mark are told. */
void crier_watch_files(struct crier_watch *watch, char *const *files, size_t count);
void crier_watch_free(struct crier_watch *watch); /**< NULL is allowed */

#endif
