-- Appends revisions if the newest is the one expected and they descend from it.
-- KEYS: head, log, past, defaults.
-- ARGV: our fleet or '', a fleet for an empty log, the expected number, its digest, the last new number, its digest,
--       how many revisions, of each: number, time, digest, parent, body; of each edit of a host's key: what, host, value.
-- Every key is read before the first write, so that a wrong type or missing memory leaves all as it was. Hosts' keys are
-- written first: one that this user may not write to leaves all as it was, too.
local function field(entry, name)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == name then return entry[2][at + 1] end
  end
end
local function digest_at(number)
  local entry = redis.call('XRANGE', KEYS[2], number .. '-0', number .. '-0')[1]
  return entry and field(entry, 'digest')
end

local head = redis.call('HMGET', KEYS[1], 'number', 'digest', 'total', 'fleet', 'host_keys')
local number, digest, total, fleet = head[1] or '0', head[2], head[3] or '0', head[4]
if not head[1] and redis.call('XLEN', KEYS[2]) > 0 then
  return {'damaged', 'there is a log without a head'}
end
if fleet and ARGV[1] ~= '' and fleet ~= ARGV[1] then
  return {'foreign', fleet}
end
if number ~= '0' then
  if not tonumber(number) or not tonumber(total) then
    return {'damaged', 'the head has no number'}
  end
  if digest_at(number) ~= digest then
    return {'damaged', 'revision ' .. number .. ' is not the one that the head names'}
  end
  -- An answer was lost: it is stored already.
  if tonumber(number) >= tonumber(ARGV[5]) and digest_at(ARGV[5]) == ARGV[6] then
    return {'ok', fleet}
  end
end
if number ~= ARGV[3] then
  return {'conflict', number}
end
if number ~= '0' and digest ~= ARGV[4] then
  return {'diverged', digest}
end
redis.call('XLEN', KEYS[3])
fleet = fleet or (ARGV[1] ~= '' and ARGV[1]) or ARGV[2]
local edits = 8 + 5 * ARGV[7]
if head[5] then
  redis.call('HLEN', KEYS[4])
  for at = edits, #ARGV, 3 do
    local what, host, value = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local key = head[5] .. host
    local kind = redis.call('TYPE', key).ok
    -- What is no string was not written by us, nor for us.
    if what == 'delete' and kind == 'string' then redis.call('DEL', key) end
    if what == 'follow' and kind == 'string' then redis.call('SET', key, value) end
    if what == 'set' and (kind == 'string' or kind == 'none') then redis.call('SET', key, value) end
    if what == 'note' then redis.call('HSETNX', KEYS[4], host, value) end
    if what == 'follow' or what == 'delete' or what == 'forget' then redis.call('HDEL', KEYS[4], host) end
  end
end
for at = 8, edits - 1, 5 do
  total = string.format('%.0f', tonumber(total) + #ARGV[at + 4])
  redis.call('XADD', KEYS[2], ARGV[at] .. '-0', 'time', ARGV[at + 1], 'digest', ARGV[at + 2],
    'parent', ARGV[at + 3], 'total', total, 'body', ARGV[at + 4])
  -- Outlives the revision: what a node that was away for long is told its descent by.
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', 100000, ARGV[at] .. '-0', 'digest', ARGV[at + 2])
end
redis.call('HSET', KEYS[1], 'fleet', fleet, 'number', ARGV[5], 'digest', ARGV[6], 'total', total)
return {'ok', fleet}
