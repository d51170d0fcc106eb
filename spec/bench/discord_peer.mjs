// SPDX-License-Identifier: MIT
// The same creates as spec/bench/discord.c, by discord.js: node discord_peer.mjs URL COUNT
import { createRequire } from "node:module";
const { REST, Routes } = createRequire(process.argv[4] + "/")("discord.js");

const [url, count] = [process.argv[2], Number(process.argv[3])];
const rest = new REST({ version: "10", api: url.replace(/\/v10$/, ""), globalRequestsPerSecond: 1e9 })
  .setToken("good.bot.token");
let left;
async function chain(channel) {
  while (left-- > 0) {
    await rest.post(Routes.channelMessages(String(channel)), { body: {
      content: "The week in numbers: 42 visits, 7 of them new, none of them lost.",
      nonce: channel + "-" + left, enforce_nonce: true, allowed_mentions: { parse: [] } } });
  }
}
async function run(n) {
  left = n;
  await Promise.all(Array.from({ length: 64 }, (_, i) => chain(1000 + i)));
}
await run(256);
const [began, cpu] = [performance.now(), process.cpuUsage()];
await run(count);
const took = (performance.now() - began) / 1e3, used = process.cpuUsage(cpu);
console.log(`discord_creates\t${Math.round(count / took)}\tdiscord.js`);
console.log(`discord_create_cpu\t${((used.user + used.system) / count).toFixed(1)}\tdiscord.js`);
process.exit(0);
