/* SPDX-License-Identifier: MIT
 *
 * What crier.testing (lua/crier/testing.lua) is made of: a lab as a userdata, in an ordinary Lua
 * state, which is the specs' and not a script's.
 *
 * Thread: that of the state.
 */
#ifndef CRIER_LAB_TESTING_H
#define CRIER_LAB_TESTING_H

/** Run busted with these arguments in a Lua state of its own, in which `require "crier.testing"` works.
 *  Returns the exit code: busted's own, or 69 when there is no busted for Lua 5.4. */
int crier_testing_run(int argc, char **argv);

#endif
