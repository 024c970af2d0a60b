"""What happens in Redis: a script for each step. `redis.py` says which keys there are.

    lane      hash of a lane: `t` the token of its lease (0: released), `u` when it runs out, `n` by which
              call of `take` it was taken; and for each entry `p:key` its payload (after its number, the token
              that came with it, and its nonce), `i:key` its intent, `k:key` how often a lease ran out
    queue     list of the lane's keys, oldest first
    idle      sorted set of the lanes by the time that their lease ends
    claim     a key that is settled: kind (b busy, n no response, r response; N and R the same of one that was
              forgotten, whose key is free), until, token, response or nonce
    meta      hash of the shard: `last` number that was given out, `held` entries

Numbers, versions and tokens are one row: each greater than the last, and not below the time in microseconds,
so that they grow even where a server has lost its latest data.
"""

from .redis_link import Script

__all__ = [
    "ACCEPT", "ACQUIRE", "COUNT", "DELETE", "ENTRIES", "FREE", "GET", "INTEND", "KEEP", "LOOKUP", "NAMES",
    "PUT", "RELEASE", "RENEW", "SETTLE", "TAKE", "YIELD",
]  # fmt: skip

NUMBERS = """
local function number_from(meta)
  local last = redis.call('HGET', meta, 'last')
  local number = text(math.max((last or 0) + 1, now))
  redis.call('HSET', meta, 'last', number)
  return number
end
local function expire(key, value, seconds)
  redis.call('SET', key, value, 'PX', text(math.floor(seconds / 1000) + 1))
end
"""

LANES = (
    NUMBERS
    + """
local function holds(lane, token)
  local found = redis.call('HMGET', lane, 't', 'u')
  return found[1] == token and tonumber(found[2]) > now, found[1]
end
local function claim_at(key)
  local found = redis.call('GET', key)
  if not found then return nil end
  local kind, ends, token, at = found:match('^(%a)(%d+) (%d+) ()')
  if tonumber(ends) <= now then return nil end
  return kind, token, found:sub(at)
end
local function forgotten(kind) return kind == 'N' or kind == 'R' end
local function duplicate(kind, rest)
  if kind == 'r' or kind == 'R' then return {'duplicate', 1, rest} end
  return {'duplicate', 1}
end
local function note_at(key)
  local found = redis.call('GET', key)
  if not found then return false end
  local ends, at = found:match('^(%d+) ()')
  return tonumber(ends) > now and found:sub(at)
end
local function entry_of(lane, queue, key)
  local found = redis.call('HMGET', lane, 'p:' .. key, 'i:' .. key, 'k:' .. key)
  return {key, found[1], found[2], tonumber(found[3] or 0), redis.call('LLEN', queue) - 1}
end
"""
)

ACCEPT = Script(
    LANES
    + """
local meta, idle, lane, queue, claim, note = unpack(KEYS)
local key, name, seconds, wait, nonce, payload, memory = unpack(ARGV, 2)
local held = redis.call('HGET', lane, 'p:' .. key)
if held then
  local number, granted, size, at = held:match('^(%d+) (%d+) (%d+) ()')
  if nonce == '' or held:sub(at, at + size - 1) ~= nonce then return {'duplicate', 0} end
  if not holds(lane, granted) then return {'place', number, '0'} end
  redis.call('HSET', lane, 'u', text(now + seconds))
  redis.call('ZADD', idle, text(now + seconds), name)
  local intent = redis.call('HGET', lane, 'i:' .. key)
  return {'place', number, granted, note_at(note), redis.call('LLEN', queue) - 1, intent}
end
local kind, _, rest = claim_at(claim)
if kind == 'b' and nonce ~= '' and rest == nonce then return {'busy'} end
if kind and not forgotten(kind) then return duplicate(kind, rest) end
local waiting = redis.call('LLEN', queue)
if waiting > 0 and wait == '0' then
  expire(claim, 'b' .. text(now + memory) .. ' 0 ' .. nonce, memory)
  return {'busy'}
end
local number = number_from(meta)
local granted = waiting == 0 and number or '0'
redis.call('HSET', lane, 'p:' .. key, number .. ' ' .. granted .. ' ' .. #nonce .. ' ' .. nonce .. payload)
redis.call('HINCRBY', meta, 'held', 1)
redis.call('RPUSH', queue, key)
if waiting > 0 then return {'place', number, '0'} end
redis.call('HSET', lane, 't', granted, 'u', text(now + seconds))
redis.call('ZADD', idle, text(now + seconds), name)
return {'place', number, granted, note_at(note), 0, false}
"""
)

INTEND = Script(
    LANES
    + """
local key, token, intent = unpack(ARGV, 2)
if not holds(KEYS[1], token) then return 0 end
if redis.call('HEXISTS', KEYS[1], 'p:' .. key) == 1 then redis.call('HSET', KEYS[1], 'i:' .. key, intent) end
return 1
"""
)

# What gives memory back comes first: Redis refuses a script that would add to a full memory, but only at its
# first write.
SETTLE = Script(
    LANES
    + """
local meta, idle, lane, queue, claim, note = unpack(KEYS)
local key, name, token, seconds, memory, answers, response, notes, left, release, forget = unpack(ARGV, 2)
local held, holder = holds(lane, token)
local there = redis.call('HEXISTS', lane, 'p:' .. key) == 1
if holder ~= token then
  local _, settler = claim_at(claim)
  if settler == token then return {'over'} end
end
if not held then return {'lost'} end
if there then
  redis.call('HDEL', lane, 'p:' .. key, 'i:' .. key, 'k:' .. key)
  redis.call('LREM', queue, 1, key)
  redis.call('HINCRBY', meta, 'held', -1)
  local kind = answers == '1' and 'r' or 'n'
  if forget == '1' then kind = kind:upper() end
  expire(claim, kind .. text(now + memory) .. ' ' .. token .. ' ' .. response, memory)
  if notes == '1' then expire(note, text(now + memory) .. ' ' .. left, memory) end
end
local following = redis.call('LINDEX', queue, 0)
if not following then
  redis.call('DEL', lane, queue)
  redis.call('ZREM', idle, name)
  return {'over'}
end
if release == '1' or forget == '1' then
  redis.call('HSET', lane, 't', '0', 'u', text(now))
  redis.call('ZADD', idle, text(now), name)
  return {'over'}
end
redis.call('HSET', lane, 'u', text(now + seconds))
redis.call('ZADD', idle, text(now + seconds), name)
return {'next', unpack(entry_of(lane, queue, following))}
"""
)

RENEW = Script(
    LANES
    + """
local answer = {}
for at = 1, (#KEYS - 1) / 2 do
  local lane, queue = KEYS[2 * at], KEYS[2 * at + 1]
  local name, token, seconds = unpack(ARGV, 3 * at - 1, 3 * at + 1)
  answer[at] = -1
  if holds(lane, token) then
    redis.call('HSET', lane, 'u', text(now + seconds))
    redis.call('ZADD', KEYS[1], text(now + seconds), name)
    answer[at] = redis.call('LLEN', queue) - 1
  end
end
return answer
"""
)

RELEASE = Script(
    LANES
    + """
local name, token = unpack(ARGV, 2)
if holds(KEYS[2], token) then
  redis.call('HSET', KEYS[2], 't', '0', 'u', text(now))
  redis.call('ZADD', KEYS[1], text(now), name)
end
return 1
"""
)

FREE = Script(
    "return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, ARGV[2])"
)
"""The lanes that nobody holds, and since when."""

TAKE = Script(
    LANES
    + """
local meta, idle = KEYS[1], KEYS[2]
local seconds, nonce = ARGV[2], ARGV[3]
local answer = {}
for at = 1, (#KEYS - 2) / 3 do
  local lane, queue, note = unpack(KEYS, 3 * at, 3 * at + 2)
  local name = ARGV[3 + at]
  local token, ends, taker = unpack(redis.call('HMGET', lane, 't', 'u', 'n'))
  local first = redis.call('LINDEX', queue, 0)
  answer[at] = false
  if not first then
    redis.call('ZREM', idle, name)
  elseif tonumber(ends) <= now then
    if token ~= '0' then redis.call('HINCRBY', lane, 'k:' .. first, 1) end
    token, taker = number_from(meta), nonce
  end
  if first and taker == nonce then
    redis.call('HSET', lane, 't', token, 'u', text(now + seconds), 'n', nonce)
    redis.call('ZADD', idle, text(now + seconds), name)
    answer[at] = {token, note_at(note), unpack(entry_of(lane, queue, first))}
  end
end
return answer
"""
)

ENTRIES = Script(
    LANES
    + """
local token, limit = unpack(ARGV, 2)
if not holds(KEYS[1], token) then return 0 end
local answer = {}
if tonumber(limit) < 1 then return answer end
for at, key in ipairs(redis.call('LRANGE', KEYS[2], 0, limit - 1)) do
  answer[at] = entry_of(KEYS[1], KEYS[2], key)
end
return answer
"""
)

LOOKUP = Script(
    LANES
    + """
if redis.call('HEXISTS', KEYS[1], 'p:' .. ARGV[2]) == 1 then return {'duplicate', 0} end
local kind, _, rest = claim_at(KEYS[2])
if kind then return duplicate(kind, rest) end
return {'none'}
"""
)

COUNT = Script("return {tonumber(redis.call('HGET', KEYS[1], 'held') or 0), redis.call('ZCARD', KEYS[2])}")

# A value: its version, until when it is kept (0: for good), which call wrote it, and the bytes.
VALUES = (
    NUMBERS
    + """
local function value_at(key)
  local found = redis.call('GET', key)
  if not found then return nil end
  local version, ends, nonce, at = found:match('^(%d+) (%d+) (%S+) ()')
  if ends ~= '0' and tonumber(ends) <= now then return nil end
  return version, nonce, found, at
end
"""
)

GET = Script(
    VALUES
    + """
local answer = {}
for at, key in ipairs(KEYS) do
  local version, _, found, start = value_at(key)
  answer[at] = version and {tonumber(version), found:sub(start)} or false
end
return answer
"""
)

PUT = Script(
    VALUES
    + """
local meta, value, names, ends = unpack(KEYS)
local name, bytes, expected, seconds, nonce = unpack(ARGV, 2)
if expected ~= '' then
  local version, writer = value_at(value)
  if version and writer == nonce then return tonumber(version) end
  if (version or '0') ~= expected then return 0 end
end
local version = number_from(meta)
if seconds == '' then
  redis.call('SET', value, version .. ' 0 ' .. nonce .. ' ' .. bytes)
  redis.call('ZREM', ends, name)
else
  expire(value, version .. ' ' .. text(now + seconds) .. ' ' .. nonce .. ' ' .. bytes, seconds)
  redis.call('ZADD', ends, text(now + seconds), name)
end
redis.call('ZADD', names, 0, name)
local gone = redis.call('ZRANGEBYSCORE', ends, '-inf', text(now), 'LIMIT', 0, 8)
if #gone > 0 then
  redis.call('ZREM', names, unpack(gone))
  redis.call('ZREM', ends, unpack(gone))
end
return tonumber(version)
"""
)

DELETE = Script(
    VALUES
    + """
local value, names, ends = unpack(KEYS)
local name, expected = unpack(ARGV, 2)
if expected ~= '' and (value_at(value) or '0') ~= expected then return 0 end
redis.call('DEL', value)
redis.call('ZREM', names, name)
redis.call('ZREM', ends, name)
return 1
"""
)

NAMES = Script(
    """
local found = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local answer = {}
for _, name in ipairs(found) do
  local ends = redis.call('ZSCORE', KEYS[2], name)
  if not ends or tonumber(ends) > now then answer[#answer + 1] = name end
end
return {found[#found] or false, #found, answer}
"""
)

# A lease: its token, when it runs out, and who holds it.
NAMED = (
    NUMBERS
    + """
local function lease_at(key)
  local found = redis.call('GET', key)
  if not found then return nil end
  local token, ends, at = found:match('^(%d+) (%d+) ()')
  if tonumber(ends) <= now then return nil end
  return token, found:sub(at)
end
local function hold(key, token, owner, seconds)
  expire(key, token .. ' ' .. text(now + seconds) .. ' ' .. owner, seconds)
end
"""
)

ACQUIRE = Script(
    NAMED
    + """
local owner, seconds = unpack(ARGV, 2)
local token, holder = lease_at(KEYS[2])
if token and holder ~= owner then return 0 end
token = token or number_from(KEYS[1])
hold(KEYS[2], token, owner, seconds)
return tonumber(token)
"""
)

KEEP = Script(
    NAMED
    + """
local token, owner = lease_at(KEYS[1])
if token ~= ARGV[2] then return 0 end
hold(KEYS[1], token, owner, ARGV[3])
return 1
"""
)

YIELD = Script(
    NAMED
    + """
if lease_at(KEYS[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end
return 1
"""
)
