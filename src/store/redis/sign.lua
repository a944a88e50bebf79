-- Writes a node's record behind the time, forgets those that were not renewed for long, answers the time and all that stay.
-- KEYS: nodes, health. ARGV: id, record, the oldest time that stays, the node's own time.
local time = redis.pcall('TIME')
local now = ARGV[4]
if not time.err then
  now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end
local all, answer = redis.call('HGETALL', KEYS[1]), {now, now .. ' ' .. ARGV[2]}
for at = 1, #all, 2 do
  local sound, record = pcall(cjson.decode, string.match(all[at + 1], '{.*'))
  local seen = sound and type(record) == 'table' and tonumber(record.seen_at)
  if not seen or seen < tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[at])
    redis.call('HDEL', KEYS[2], all[at])
  elseif all[at] ~= ARGV[1] then
    answer[#answer + 1] = all[at + 1]
  end
end
redis.call('HSET', KEYS[1], ARGV[1], answer[2])
return answer
