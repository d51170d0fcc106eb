/* SPDX-License-Identifier: MIT
 *
 * The scripts that run in the server. Each is atomic there: what it writes, rotates and remembers
 * (the last seq, which makes a repeated call harmless) happens as one. All types are looked at
 * before anything is written, and the first write is one that a server which is read-only or out
 * of memory refuses, so a call is done in whole or not at all.
 */
#include "sink/redis.h"

/* A call that may have been made before names its first record; when that is not newer than the
 * last one written, it has been, if only with other ends. Seq and id have to agree: a state folder
 * that was deleted begins again at seq 1, but its ids are later. */
#define SEEN                                                                                       \
    "local function seen(key)\n"                                                                   \
    "  local have = redis.call('HGET', key, ARGV[1])\n"                                            \
    "  local seq, id = (have or ''):match('^(%d+) (%w+)$')\n"                                      \
    "  if seq and ARGV[2] ~= '' and tonumber(ARGV[2]) <= tonumber(seq) and ARGV[3] <= id then\n"   \
    "    return {seq, id}\n"                                                                       \
    "  end\n"                                                                                      \
    "end\n"                                                                                        \
    "local function other(types)\n"                                                                \
    "  for i, want in ipairs(types) do\n"                                                          \
    "    local is = redis.call('TYPE', KEYS[i]).ok\n"                                              \
    "    if want ~= '' and is ~= 'none' and is ~= want then return {'0', tostring(i), is} end\n"   \
    "  end\n"                                                                                      \
    "end\n"

/* `this` and `last`: when the hours began, as :start has it. Days to a civil date:
 * howardhinnant.github.io/date_algorithms.html, civil_from_days. */
#define HOURS                                                                                      \
    "local function iso(t)\n"                                                                      \
    "  local z = math.floor(t / 86400) + 719468\n"                                                 \
    "  local era = math.floor(z / 146097)\n"                                                       \
    "  local doe = z - era * 146097\n"                                                             \
    "  local yoe = doe - math.floor(doe / 1460) + math.floor(doe / 36524)\n"                       \
    "  yoe = math.floor((yoe - math.floor(doe / 146096)) / 365)\n"                                 \
    "  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))\n"              \
    "  local mp = math.floor((5 * doy + 2) / 153)\n"                                               \
    "  local m = mp < 10 and mp + 3 or mp - 9\n"                                                   \
    "  local y = yoe + era * 400 + (m <= 2 and 1 or 0)\n"                                          \
    "  return string.format('%04d-%02d-%02dT%02d:00:00', y, m,\n"                                  \
    "    doy - math.floor((153 * mp + 2) / 5) + 1, math.floor(t % 86400 / 3600))\n"                \
    "end\n"                                                                                        \
    "local now = tonumber(redis.call('TIME')[1])\n"                                                \
    "local hour = now - now % 3600\n"                                                              \
    "local this, last = iso(hour), iso(hour - 3600)\n"

const char crier_redis_script_logs[] = SEEN
    "local wrong = other {'list', 'zset', 'string', '', '', 'hash'}\n"
    "if wrong then return wrong end\n"
    "local before = seen(KEYS[6])\n"
    "if before then return before end\n"
    "local recent, ttl = tonumber(ARGV[6]), tonumber(ARGV[7])\n"
    "local max, n = tonumber(ARGV[8]), tonumber(ARGV[9])\n"
    "redis.call('HSET', KEYS[6], ARGV[1], ARGV[4] .. ' ' .. ARGV[5])\n"
    "for i = 10, 9 + n, 1000 do\n"
    "  redis.call('LPUSH', KEYS[1], unpack(ARGV, i, math.min(i + 999, 9 + n)))\n"
    "end\n"
    "redis.call('LTRIM', KEYS[1], 0, recent - 1)\n"
    "if ttl > 0 then\n"
    "  redis.call('EXPIRE', KEYS[1], ttl)\n"
    "  redis.call('EXPIRE', KEYS[6], ttl)\n"
    "end\n"
    "if max == 0 then return 1 end\n" HOURS "local start = redis.call('GET', KEYS[3])\n"
    "if not start or not start:match('^%d%d%d%d%-%d%d%-%d%dT%d%d:00:00$') then\n"
    "  redis.call('SET', KEYS[3], this)\n"
    "elseif start < this then\n"
    "  if start == last and redis.call('EXISTS', KEYS[2]) == 1 then\n"
    "    redis.call('RENAME', KEYS[2], KEYS[4])\n"
    "    redis.call('RENAME', KEYS[3], KEYS[5])\n"
    "  else\n"
    "    redis.call('DEL', KEYS[2], KEYS[4], KEYS[5])\n"
    "  end\n"
    "  redis.call('SET', KEYS[3], this)\n"
    "elseif redis.call('TYPE', KEYS[5]).ok ~= 'string' or redis.call('GET', KEYS[5]) ~= last then\n"
    "  redis.call('DEL', KEYS[4], KEYS[5])\n"
    "end\n"
    "for i = 10 + n, #ARGV, 2 do redis.call('ZINCRBY', KEYS[2], ARGV[i + 1], ARGV[i]) end\n"
    "if redis.call('ZCARD', KEYS[2]) > max then\n"
    "  local sum = tonumber(redis.call('ZSCORE', KEYS[2], '(other)') or 0)\n"
    "  redis.call('ZREM', KEYS[2], '(other)')\n"
    "  local gone = redis.call('ZPOPMIN', KEYS[2], redis.call('ZCARD', KEYS[2]) - max + 1)\n"
    "  for i = 2, #gone, 2 do sum = sum + tonumber(gone[i]) end\n"
    "  redis.call('ZADD', KEYS[2], sum, '(other)')\n"
    "end\n"
    "redis.call('EXPIREAT', KEYS[2], hour + 7200)\n"
    "redis.call('EXPIREAT', KEYS[3], hour + 7200)\n"
    "return 1\n";

const char crier_redis_script_stream[] =
    SEEN "local wrong = other {'stream', 'hash'}\n"
         "if wrong then return wrong end\n"
         "local before = seen(KEYS[2])\n"
         "if before then return before end\n"
         "local max = tonumber(ARGV[6])\n"
         "redis.call('HSET', KEYS[2], ARGV[1], ARGV[4] .. ' ' .. ARGV[5])\n"
         "for i = 7, #ARGV do\n"
         "  if max > 0 then\n"
         "    redis.call('XADD', KEYS[1], 'MAXLEN', '~', max, '*', 'record', ARGV[i])\n"
         "  else\n"
         "    redis.call('XADD', KEYS[1], '*', 'record', ARGV[i])\n"
         "  end\n"
         "end\n"
         "return 1\n";

const char crier_redis_script_common[] =
    HOURS "local start = redis.call('GET', KEYS[2]) or ''\n"
          "local key = nil\n"
          "if ARGV[1] == 'this' then\n"
          "  if start >= this then key = KEYS[1] end\n"
          "elseif start == last then\n"
          "  key = KEYS[1]\n"
          "elseif start >= this and redis.call('GET', KEYS[4]) == last then\n"
          "  key = KEYS[3]\n"
          "end\n"
          "local out = {ARGV[1] == 'this' and this or last}\n"
          "if key and ARGV[2] ~= '0' then\n"
          "  local list = redis.call('ZREVRANGE', key, 0, ARGV[2] - 1, 'WITHSCORES')\n"
          "  for i, v in ipairs(list) do out[i + 1] = v end\n"
          "end\n"
          "return out\n";
