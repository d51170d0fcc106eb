// SPDX-License-Identifier: MIT
// A client that is not ours against the simulator's gateway.
// usage: node gateway.mjs http://127.0.0.1:PORT TOKEN GUILD CHANNEL
// One line a check, "ok NAME" or "not ok NAME: why"; exit code 1 when one failed.
import assert from 'node:assert/strict';
import { ActivityType, Client, Events, GatewayIntentBits, Options, Partials } from 'discord.js';

const [sim, token, guild, channel] = process.argv.slice(2);
const bits = GatewayIntentBits;
const client = new Client({
  intents: [bits.Guilds, bits.GuildMembers, bits.GuildInvites, bits.GuildMessages,
    bits.DirectMessages, bits.MessageContent],
  partials: [Partials.Channel],
  rest: { api: `${sim}/api` },
  presence: { status: 'dnd', activities: [{ name: 'the news', type: ActivityType.Watching }] },
  makeCache: Options.cacheEverything(),
});
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

function next(event, test = () => true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event}`)), 8000);
    const listen = (...args) => {
      if (!test(...args)) return;
      clearTimeout(timer);
      client.off(event, listen);
      resolve(args);
    };
    client.on(event, listen);
  });
}

async function post(path, body) {
  const answer = await fetch(sim + path, { method: 'POST', body: JSON.stringify(body) });
  assert.equal(answer.status, 204, await answer.text());
}
const stats = async () => (await fetch(`${sim}/sim/stats`)).json();

await check('login', async () => {
  const ready = next(Events.ClientReady);
  await client.login(token);
  await ready;
  assert.equal(client.user.bot, true);
  assert.equal(client.guilds.cache.get(guild).name, 'guild');
  assert.equal(client.channels.cache.get(channel).name, 'text');
  assert.equal((await stats()).identifies, 1);
});

await check('a message comes back', async () => {
  const made = next(Events.MessageCreate);
  const sent = await client.channels.cache.get(channel).send('hello');
  assert.equal((await made)[0].id, sent.id);
  const updated = next(Events.MessageUpdate);
  await sent.edit('bye');
  assert.equal((await updated)[1].content, 'bye');
  const deleted = next(Events.MessageDelete);
  await sent.delete();
  assert.equal((await deleted)[0].id, sent.id);
});

await check('what others do', async () => {
  const talk = next(Events.MessageCreate, (m) => m.author.id === '301');
  await post('/sim/events', { do: 'message', channel, user: '301', content: 'hi there' });
  assert.equal((await talk)[0].content, 'hi there');
  const dm = next(Events.MessageCreate, (m) => !m.inGuild());
  await post('/sim/events', { do: 'message', dm: token, user: '301', content: 'psst' });
  assert.equal((await dm)[0].content, 'psst');
  const member = next(Events.GuildMemberAdd);
  await post('/sim/events', { do: 'member_join', guild, user: '302' });
  assert.equal((await member)[0].id, '302');
  const made = next(Events.ChannelCreate);
  await post('/sim/events', { do: 'channel_create', guild, channel: '777', name: 'new' });
  assert.equal((await made)[0].name, 'new');
  const gone = next(Events.ChannelDelete);
  await post('/sim/events', { do: 'channel_delete', channel: '777' });
  assert.equal((await gone)[0].id, '777');
  const invite = next(Events.InviteCreate);
  await post('/sim/events', { do: 'invite_create', guild, invite: 'abc', channel });
  assert.equal((await invite)[0].code, 'abc');
  const list = await client.guilds.cache.get(guild).invites.fetch();
  assert.equal(list.get('abc').uses, 0);
});

await check('presence', async () => {
  client.user.setPresence({ status: 'idle', activities: [{ name: 'x' }] });
  await client.channels.cache.get(channel).send('still here');
});

const resumes = { close: ['gateway_close', { code: 4000 }], cut: ['gateway_drop', {}],
  reconnect: ['gateway_reconnect', {}] };
for (const [name, [what, more]] of Object.entries(resumes)) {
  await check(`resumes after ${name}`, async () => {
    const before = await stats();
    const resumed = next(Events.ShardResume);
    await post('/sim/faults', { do: what, ...more });
    await resumed;
    const after = await stats();
    assert.equal(after.resumes, before.resumes + 1);
    assert.equal(after.identifies, before.identifies);
  });
}

await check('an event that was missed comes with the resume', async () => {
  const resumed = next(Events.ShardResume);
  const talk = next(Events.MessageCreate, (m) => m.content === 'in between');
  await post('/sim/faults', { do: 'gateway_close', code: 4000 });
  await post('/sim/events', { do: 'message', channel, user: '301', content: 'in between' });
  await resumed;
  await talk;
});

await check('is rate-limited', async () => {
  let waits = 0;
  client.rest.on('rateLimited', () => { waits++; });
  const made = await Promise.all([...Array(7).keys()].map((n) =>
    client.channels.cache.get(channel).send(`burst ${n}`)));
  assert.equal(new Set(made.map((m) => m.id)).size, 7);
  assert.ok(waits > 0, 'nothing was limited');
});

await client.destroy();
process.exitCode = failed;
