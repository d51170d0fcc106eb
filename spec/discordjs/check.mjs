// SPDX-License-Identifier: MIT
// A client that is not ours against the simulator.
// usage: node check.mjs http://127.0.0.1:PORT/api TOKEN CHANNEL USER
// One line a check, "ok NAME" or "not ok NAME: why"; exit code 1 when one failed.
import assert from 'node:assert/strict';
import { AttachmentBuilder, DiscordAPIError, EmbedBuilder, REST, Routes } from 'discord.js';

const [api, token, channel, user] = process.argv.slice(2);
const client = () => new REST({ version: '10', api }).setToken(token);
const rest = client();
const messages = Routes.channelMessages(channel);
let failed = 0;

async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    failed = 1;
    console.log(`not ok ${name}: ${String(error.stack).replaceAll('\n', ' ')}`);
  }
}

async function refused(promise, status, code) {
  const error = await promise.then(() => assert.fail('it was accepted'), (e) => e);
  assert.ok(error instanceof DiscordAPIError, String(error));
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  return error;
}

await check('create, edit, delete', async () => {
  const embed = new EmbedBuilder().setTitle('t').setDescription('d').setColor(0xff0000)
    .addFields({ name: 'n', value: 'v', inline: true }).setTimestamp(1000);
  const made = await rest.post(messages, { body: { content: 'one', embeds: [embed.toJSON()] } });
  assert.equal(made.content, 'one');
  assert.equal(made.embeds[0].fields[0].inline, true);
  assert.equal(Date.parse(made.embeds[0].timestamp), 1000);
  const path = Routes.channelMessage(channel, made.id);
  const edited = await rest.patch(path, { body: { content: 'two' } });
  assert.equal(edited.content, 'two');
  assert.ok(Date.parse(edited.edited_timestamp) >= Date.parse(edited.timestamp));
  assert.equal((await rest.get(path)).content, 'two');
  await rest.delete(path);
  await refused(rest.get(path), 404, 10008);
});

await check('files', async () => {
  const file = new AttachmentBuilder(Buffer.alloc(70000, 7), { name: 'seven.bin' });
  const made = await rest.post(messages, {
    body: { content: 'file', attachments: [{ id: 0, description: 'sevens' }] },
    files: [{ name: file.name, data: file.attachment }],
  });
  assert.equal(made.attachments[0].size, 70000);
  assert.equal(made.attachments[0].filename, 'seven.bin');
  assert.equal(made.attachments[0].description, 'sevens');
});

await check('reaction, typing, direct message, reads', async () => {
  const [last] = await rest.get(messages, { query: new URLSearchParams({ limit: '1' }) });
  await rest.put(Routes.channelMessageOwnReaction(channel, last.id, encodeURIComponent('👍')));
  assert.equal((await rest.get(Routes.channelMessage(channel, last.id))).reactions[0].emoji.name, '👍');
  await rest.post(Routes.channelTyping(channel));
  const dm = await rest.post(Routes.userChannels(), { body: { recipient_id: user } });
  assert.equal(dm.recipients[0].id, user);
  assert.equal((await rest.get(Routes.user())).bot, true);
  assert.equal((await rest.get(Routes.gatewayBot())).shards, 1);
});

await check('errors', async () => {
  const unknown = await refused(rest.post(Routes.channelMessages('5'), { body: { content: 'x' } }),
    404, 10003);
  assert.equal(unknown.rawError.message, 'Unknown Channel');
  const long = await refused(rest.post(messages, { body: { content: 'x'.repeat(2001) } }),
    400, 50035);
  assert.equal(long.rawError.errors.content._errors[0].code, 'BASE_TYPE_MAX_LENGTH');
  assert.match(long.message, /content\[BASE_TYPE_MAX_LENGTH\]/);
});

await check('rate limits', async () => {
  // Two that know nothing of each other, so that headers alone do not save the second one.
  const clients = [rest, client()];
  let waits = 0;
  for (const c of clients) c.on('rateLimited', () => { waits++; });
  const made = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((n) =>
    clients[n % 2].post(messages, { body: { content: `burst ${n}` } })));
  assert.equal(new Set(made.map((m) => m.id)).size, 8);
  assert.ok(waits > 0, 'nothing was limited');
});

process.exitCode = failed;
