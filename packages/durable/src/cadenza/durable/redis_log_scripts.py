"""What happens in Redis: a script for each step of `RedisLog`. redis_log.py says where the keys lie.

    head:<run>     hash: i incarnation, v conversation, n its number in the index of that, z the nonce of the
                   call that created it, m meta, e epoch, o owner, k attempts, u the lease's end, f the first
                   event that is kept, l the last, b the newest batch ("epoch after count"), p checkpoint,
                   c cancel, t tombstone, x "1": compacted, d until when the events live, h until when the
                   head does, s when the index of its conversation was last told that it lives
    log:<run>      stream: an entry's id is the number of its last event, and 0. Two entries are none, but
                   there to wake who waits: 0-1, of the creation, and <last>-2, of the end.
    due            sorted set of runs by the time that somebody should look at them
    numbers        hash of the shard: `last` number that was given out
    runs:<conv.>   stream, the index of a conversation: an entry's id is the run's number, and 0
    wake:<one>     stream of one process, to end its XREAD

Times are in microseconds of the server's clock, and decide; that keys expire, a little later, only clears up.
Every script that writes sees to the life of every key that it writes: it sets it, unless enough is left.
What several runs share (due, numbers, runs:...) gets twice the life of a head, whenever less than one is
left.
"""

from cadenza.state.redis_link import Script

from .stream_log import PAGE_BYTES

__all__ = [
    "APPEND", "CANCEL", "CLAIM", "COMPACT", "CREATE", "DELETE", "DUE", "ENTER", "LEAVE", "LISTED", "LOOK",
    "META", "NUMBERED", "READ", "RELEASE", "RENEW", "RENUMBER", "TOUCH", "WAKE",
]  # fmt: skip

# ARGV[2] to ARGV[4] are the retention: of the events, of the head, and until a run is compacted ('': never).
COMMON = """
local head, log, due = KEYS[1], KEYS[2], KEYS[3]
local DATA, HEAD, COMPACT = ARGV[2], ARGV[3], ARGV[4]
local function life(time) return text(math.max(0, math.floor(time / 1000)) + 1000) end
-- A key gets a second more than it needs, so that of many steps in a second only one need say so.
local function live(key, time)
  if redis.call('PTTL', key) < time / 1000 + 1 then redis.call('PEXPIRE', key, life(time)) end
end
local function outlive(key)
  if redis.call('PTTL', key) < HEAD / 1000 + 1000 then redis.call('PEXPIRE', key, life(2 * HEAD)) end
end
local function number_from(numbers)
  local last = redis.call('HGET', numbers, 'last')
  local number = text(math.max((last or 0) + 1, now))
  redis.call('HSET', numbers, 'last', number)
  outlive(numbers)
  return number
end
local function load()
  local v = redis.call(
    'HMGET', head, 'i', 'v', 'e', 'k', 'u', 'f', 'l', 'c', 't', 'x', 'd', 'h', 'b', 'o', 's'
  )
  if not v[1] or tonumber(v[12]) <= now then return nil end
  local run = {
    i = v[1], v = v[2], e = v[3], k = v[4], u = tonumber(v[5]), f = tonumber(v[6]), l = tonumber(v[7]),
    c = v[8], t = v[9], x = v[10], d = tonumber(v[11]), h = tonumber(v[12]), b = v[13], o = v[14],
    s = tonumber(v[15]),
  }
  if run.d <= now and run.f <= run.l then run.f, run.gone = run.l + 1, true end
  return run
end
-- The head, as one string: that is much cheaper to read than a list.
local function view(run)
  local numbers = string.format(
    '%s %s %s %.0f %.0f %.0f %s %s %d ', run.i, run.e, run.k, run.u - now, run.f, run.l, run.c or '-',
    run.x or '-', run.t and #run.t or 0
  )
  return numbers .. (run.t or '') .. (run.v and '+' .. run.v or '')
end
-- Write what has changed (pairs of names and values), and let all live on.
local function keep(run, name, score, ...)
  if run.gone then redis.call('DEL', log) end
  redis.call('HSET', head, 'f', text(run.f), 'd', text(now + DATA), 'h', text(now + HEAD), ...)
  live(head, HEAD)
  live(log, DATA)
  if score then redis.call('ZADD', due, text(score), name) else redis.call('ZREM', due, name) end
  outlive(due)
end
-- Whether the index of the conversation is to be told that the run lives: it cannot be written from here.
local function tell(run) return run.v and now - run.s > HEAD / 2 end
-- The answer to a writer: mostly the head alone, which is much cheaper to read than a list, too.
local function done(run, told) return told and {'tell', view(run)} or view(run) end
local function compact_at() if COMPACT == '' then return nil end return now + COMPACT end
"""

CREATE = Script(
    COMMON
    + """
local name, meta, has, conversation, number, nonce = unpack(ARGV, 5)
if has == '0' then conversation = false end
local run = load()
if run then
  local found = redis.call('HMGET', head, 'm', 'z')
  if found[1] ~= meta or run.v ~= conversation then return {'conflict'} end
  return {found[2] == nonce and 'created' or 'exists', view(run)}
end
redis.call('DEL', head, log)
local at = text(now)
run = {
  i = number_from(KEYS[4]), v = conversation, e = '0', k = '0', u = now, f = 1, l = 0, c = false, t = false,
  x = false,
}
redis.call('XADD', log, '0-1', '', '')
if conversation then redis.call('HSET', head, 'v', conversation) end
local keys = {'i', run.i, 'm', meta, 'e', '0', 'k', '0', 'u', at, 'l', '0', 'n', number, 'z', nonce, 's', at}
keep(run, name, now, unpack(keys))
return {'created', view(run)}
"""
)

# A run that was created late is entered in the index of its conversation anew.
RENUMBER = Script(
    COMMON
    + """
if redis.call('HGET', head, 'n') == ARGV[5] then redis.call('HSET', head, 'n', ARGV[6]) end
"""
)

META = Script(
    COMMON
    + """
if not load() then return false end
return redis.call('HGET', head, 'm')
"""
)

READ = Script(
    COMMON
    + f"local PAGE_BYTES = {PAGE_BYTES}"
    + """
local after, limit = ARGV[5], ARGV[6]
local run = load()
if not run then
  redis.call('DEL', head, log) -- else who waits for its creation would take what is left for news
  return false
end
local entries, size = {}, 0
if run.f <= run.l and limit ~= '0' then
  -- In pieces that grow: of entries that are large no more are looked at than fit.
  local from, left, bytes, piece = text(after + 1), tonumber(limit), 0, 1
  while tonumber(after) < run.l and left > 0 and bytes < PAGE_BYTES do
    piece = math.min(4 * piece, left)
    left = left - piece
    local found = redis.call('XRANGE', log, from, '+', 'COUNT', piece)
    for _, entry in ipairs(found) do
      if entry[1]:sub(-2) == '-0' and bytes < PAGE_BYTES then
        entries[size + 1], entries[size + 2] = entry[1]:sub(1, -3), entry[2][2]
        size, bytes = size + 2, bytes + #entry[2][2]
      end
    end
    if #found < piece then break end
    from = '(' .. found[#found][1]
  end
  -- A server that evicts, or has lost data, may have the head alone.
  if size == 0 and redis.call('EXISTS', log) == 0 then run.f = run.l + 1 end
end
return {view(run), entries}
"""
)

DELETE = Script(
    COMMON
    + """
local found = redis.call('HMGET', head, 'v', 'n')
redis.call('DEL', head, log)
redis.call('ZREM', due, ARGV[5])
return found
"""
)

CANCEL = Script(
    COMMON
    + """
local name, mode, entry, tombstone = unpack(ARGV, 5)
local run = load()
if not run then return {'none'} end
if run.t or run.c == 'now' or run.c == mode then return {'done', view(run)} end
run.c = mode
if run.e ~= '0' then
  keep(run, name, redis.call('ZSCORE', due, name) or run.u, 'c', mode)
  return {'done', view(run)}
end
run.l, run.t, run.u = run.l + 1, tombstone, now
redis.call('XADD', log, text(run.l) .. '-0', 'e', entry)
keep(run, name, compact_at(), 'c', mode, 't', tombstone, 'l', text(run.l), 'u', text(now))
return {'done', view(run)}
"""
)

CLAIM = Script(
    COMMON
    + """
local name, owner, seconds = unpack(ARGV, 5)
local run = load()
if not run then return {'none'} end
if run.t then return {'over', run.t} end
if run.o ~= owner then
  if run.e ~= '0' and run.u > now then return {'held'} end
  run.e, run.k = number_from(KEYS[4]), text(run.k + 1)
end
run.u = now + seconds
keep(run, name, run.u, 'e', run.e, 'k', run.k, 'o', owner, 'u', text(run.u), 's', text(now))
local left = redis.call('HMGET', head, 'm', 'p')
return {'claimed', view(run), left[1], left[2]}
"""
)

RENEW = Script(
    COMMON
    + """
local name, epoch, seconds = unpack(ARGV, 5)
local run = load()
if not run then return {'none'} end
if run.e ~= epoch then return {'stale', run.e} end
if run.t then return {'over', run.t} end
local told = tell(run)
run.u = now + seconds
keep(run, name, run.u, 'u', text(run.u), unpack(told and {'s', text(now)} or {}))
return done(run, told)
"""
)

RELEASE = Script(
    COMMON
    + """
local name, epoch = unpack(ARGV, 5)
local run = load()
if not run or run.e ~= epoch or run.t or run.u <= now then return 0 end
keep(run, name, now, 'u', text(now))
return 1
"""
)

APPEND = Script(
    COMMON
    + """
local name, batch, data, seconds, most, tombstone, checkpoint = unpack(ARGV, 5)
local epoch, after, count = batch:match('(%S+) (%S+) (%S+)')
local run = load()
if not run then return {'none'} end
if run.e ~= epoch then return {'stale', run.e} end
if run.b == batch and (count ~= '0' or run.t) then return done(run) end
if run.t then return {'over', run.t} end
if text(run.l) ~= after then return {'behind', text(run.l)} end
if run.gone then redis.call('DEL', log) end
run.gone = nil
local told = tell(run)
run.u = now + seconds
local changed = {}
local function change(field, value)
  changed[#changed + 1] = field
  changed[#changed + 1] = value
end
local function add(...)
  if redis.call('XADD', log, 'NOMKSTREAM', ...) then return end
  -- It expired; or the server evicts, or has lost data: what was before is gone, and readers are told so.
  run.f = after + 1
  redis.call('XADD', log, ...)
end
if told then change('s', text(now)) end
if count ~= '0' then
  run.l = run.l + count
  change('l', text(run.l))
  add(text(run.l) .. '-0', 'e', data)
  if most ~= '' and run.l - run.f >= tonumber(most) then
    -- The newest entry that holds nothing of the last `most` events goes, and all before it.
    local gone = redis.call('XREVRANGE', log, text(run.l - most) .. '-0', '-', 'COUNT', 1)[1]
    gone = gone and tonumber(gone[1]:match('^%d+')) or 0
    if gone >= run.f then
      run.f = gone + 1
      redis.call('XTRIM', log, 'MINID', text(run.f))
    end
  end
end
local score = run.u
if tombstone ~= '' then
  add(text(run.l) .. '-2', '', '')
  redis.call('HDEL', head, 'p')
  run.t, run.u, score = tombstone, now, compact_at()
  change('t', tombstone)
elseif checkpoint then
  change('p', checkpoint)
end
if count ~= '0' or run.t then change('b', batch) end
keep(run, name, score, 'u', text(run.u), unpack(changed))
return done(run, told)
"""
)

# It is no change by the run's writer: what there is lives no longer than it would have.
COMPACT = Script(
    COMMON
    + """
local name, incarnation = ARGV[5], ARGV[6]
local run = load()
if not run or run.i ~= incarnation or not run.t or run.x or (run.l > 0 and run.f > run.l) then return 0 end
redis.call('ZREM', due, name)
redis.call('DEL', log)
for at = 7, #ARGV, 2 do redis.call('XADD', log, ARGV[at] .. '-0', 'e', ARGV[at + 1]) end
redis.call('HSET', head, 'x', '1')
redis.call('PEXPIRE', head, life(run.h - now))
redis.call('PEXPIRE', log, life(run.d - now))
return 1
"""
)

# What is due in a shard: pairs of a run and since when, the longest due first.
LOOK = Script(
    """
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, ARGV[2])
"""
)

# Which of these somebody should look at: 1; 0: another has asked meanwhile; -1: there is nothing to do.
DUE = Script(
    """
local postpone, answers = ARGV[2], {}
for at = 2, #KEYS do
  local name = ARGV[at + 1]
  local found = redis.call('HMGET', KEYS[at], 'h', 't', 'x', 'f', 'l', 'd')
  local score = redis.call('ZSCORE', KEYS[1], name)
  local gone = not found[1] or tonumber(found[1]) <= now
  if not gone and found[2] then
    gone = found[3] or tonumber(found[4]) > tonumber(found[5]) or tonumber(found[6]) <= now
  end
  if gone then
    redis.call('ZREM', KEYS[1], name)
    answers[at - 1] = -1
  elseif not score or tonumber(score) > now then
    answers[at - 1] = 0
  else
    redis.call('ZADD', KEYS[1], text(now + postpone), name)
    answers[at - 1] = 1
  end
end
return answers
"""
)

# The index of a conversation. KEYS: it, and the numbers of its shard.

ENTER = Script(
    COMMON
    + """
local number = number_from(KEYS[2])
redis.call('XADD', KEYS[1], number, 'r', ARGV[5])
outlive(KEYS[1])
local old = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', text(now - HEAD), 'COUNT', ARGV[6])) do
  old[#old + 1], old[#old + 2] = entry[1]:match('^%d+'), entry[2][2]
end
return {number, old}
"""
)

LEAVE = Script("for at = 2, #ARGV do redis.call('XDEL', KEYS[1], ARGV[at]) end")

TOUCH = Script(COMMON + "outlive(KEYS[1])")

# The time, and pairs of a number and a run.
LISTED = Script(
    """
local after, limit, newest_first = unpack(ARGV, 2)
local first, last, found, answer = text(after + 1), '+', nil, {text(now)}
if newest_first ~= '' then
  found = redis.call('XREVRANGE', KEYS[1], newest_first, first, 'COUNT', limit)
else
  found = redis.call('XRANGE', KEYS[1], first, last, 'COUNT', limit)
end
for _, entry in ipairs(found) do
  answer[#answer + 1], answer[#answer + 2] = entry[1]:match('^%d+'), entry[2][2]
end
return answer
"""
)

# The numbers under which these runs are entered; nil for one that is no more.
NUMBERED = Script(
    """
local answer = {}
for at, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'h', 'n')
  answer[at] = found[1] and tonumber(found[1]) > now and found[2]
end
return answer
"""
)

# Another with a smaller number than before is a call that was repeated.
WAKE = Script(
    """
redis.pcall('XADD', KEYS[1], 'MAXLEN', 1, ARGV[2], '', '')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
)
