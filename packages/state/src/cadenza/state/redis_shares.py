"""`SharedPermits` in Redis: a hash for each tenant, with what each process has and wants, and until when.

    permits:tenant    hash: process -> "cap wanted ends"; `ends` in microseconds of the server's clock

All keys lie in one hash slot, since one call is about all tenants of a process.
"""

from __future__ import annotations

from collections.abc import Mapping

from .payload import to_name
from .redis_link import RedisLink, Script
from .shares import Demand

__all__ = ["RedisShares"]

SECONDS = 10
"""After which a process that does not call has nothing any more."""
LAST_SECONDS = 2
"""The same, after a call in which it wanted nothing."""

EXCHANGE = Script(
    """
local process, limit, seconds, last = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

-- How much one process may have of what all want together: no more than any other that wants as much.
local function share_of(process, wants, names, total)
  local wanted = wants[process]
  if total <= limit then return wanted end
  local sorted = {}
  for _, name in ipairs(names) do sorted[#sorted + 1] = wants[name] end
  table.sort(sorted)
  local left, level, above = limit, 0, 0
  for at, want in ipairs(sorted) do
    above = #sorted - at + 1
    level = math.floor(left / above)
    if want > level then break end
    left = left - want
  end
  if wanted <= level then return wanted end
  -- What cannot be divided goes to some of those above, in turn, so that nobody is left out for ever.
  table.sort(names)
  local place = 0
  for _, name in ipairs(names) do
    if name == process then break end
    if wants[name] > level then place = place + 1 end
  end
  local rest = left - level * above
  local turn = math.floor(now / 5000000)
  if (place + turn * rest) % above < rest then return level + 1 end
  return level
end

local answer = {}
for at, key in ipairs(KEYS) do
  local held = tonumber(ARGV[4 + 2 * at])
  local wanted = math.max(0, math.min(limit, tonumber(ARGV[5 + 2 * at])))
  local others, total, names, wants = 0, wanted, {process}, {[process] = wanted}
  local all = redis.call('HGETALL', key)
  for entry = 1, #all, 2 do
    local name = all[entry]
    if name ~= process then
      local cap, want, ends = all[entry + 1]:match('^(%d+) (%d+) (%d+)$')
      if tonumber(ends) <= now then
        redis.call('HDEL', key, name)
      else
        others = others + cap
        total = total + want
        if tonumber(want) > 0 then
          names[#names + 1] = name
          wants[name] = tonumber(want)
        end
      end
    end
  end
  local share = wanted > 0 and share_of(process, wants, names, total) or 0
  local record = math.min(math.max(held, share), math.max(0, limit - others))
  if record == 0 and wanted == 0 then
    redis.call('HDEL', key, process)
  else
    local ends = text(now + (wanted > 0 and seconds or last) * 1000000)
    redis.call('HSET', key, process, record .. ' ' .. wanted .. ' ' .. ends)
    redis.call('PEXPIRE', key, 2000 * seconds)
  end
  answer[at] = math.min(share, record)
end
return answer
"""
)


class RedisShares:
    """`SharedPermits` over the link of a `RedisState`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def exchange(self, process: str, demands: Mapping[str, Demand], *, limit: int) -> dict[str, int]:
        tenants = list(demands)
        if not tenants:
            return {}
        numbers = (number for one in demands.values() for number in (max(0, one.held), max(0, one.wanted)))
        answer = await self._link.run(
            EXCHANGE,
            [self._link.tag(0) + b":permits:" + to_name(tenant) for tenant in tenants],
            [to_name(process), limit, SECONDS, LAST_SECONDS, *numbers],
        )
        return dict(zip(tenants, map(int, answer), strict=True))
