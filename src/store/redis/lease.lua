-- Takes or renews a lease. KEYS: the lease. ARGV: holder, for how long, the caller's time, whose time counts.
local now = tonumber(ARGV[3])
if ARGV[4] == 'own' then
  local time = redis.pcall('TIME')
  if not time.err then now = time[1] * 1000 + math.floor(time[2] / 1000) end
end
local found = redis.call('HMGET', KEYS[1], 'holder', 'until', 'term')
local holder, till, term = found[1] or '', tonumber(found[2] or '0') or 0, tonumber(found[3] or '0') or 0
if holder ~= ARGV[1] then
  if till > now then return {holder, found[2], found[3]} end
  holder, term = ARGV[1], term + 1
end
local text, ends = string.format('%.0f', term), string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'holder', holder, 'until', ends, 'term', text)
return {holder, ends, text}
