-- Writes a node's record, and forgets those that were not renewed for long.
-- KEYS: nodes, health. ARGV: id, record, the oldest time that stays.
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local sound, record = pcall(cjson.decode, all[at + 1])
  local seen = sound and type(record) == 'table' and tonumber(record.seen_at)
  if not seen or seen < tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[at])
    redis.call('HDEL', KEYS[2], all[at])
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {}
