/* SPDX-License-Identifier: MIT
 *
 * crier discord-sim.
 *
 * Thread: [loop]; makes and runs a loop of its own.
 */
#ifndef CRIER_CLI_DISCORD_SIM_H
#define CRIER_CLI_DISCORD_SIM_H

/** argv[0] is the sub-command's name. Runs until SIGTERM or SIGINT; returns the exit code: 0, 64
 *  usage, 66 no world file, 69 cannot listen, 75 port in use, 78 the world file is wrong. */
int crier_cmd_discord_sim(int argc, char **argv);

#endif
