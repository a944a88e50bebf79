-- The first revision that is not older than a time, by bisection: numbers have no gaps.
-- KEYS: log. ARGV: the time.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not first then return {} end
local function number(entry) return tonumber(string.match(entry[1], '^%d+')) end
local low, high = number(first), number(last) + 1
while low < high do
  local middle = math.floor((low + high) / 2)
  local id = string.format('%.0f-0', middle)
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  local time = 0
  for at = 1, entry and #entry[2] or 0, 2 do
    if entry[2][at] == 'time' then time = tonumber(entry[2][at + 1]) or 0 end
  end
  if time >= tonumber(ARGV[1]) then high = middle else low = middle + 1 end
end
if low > number(last) then return {} end
return {string.format('%.0f', low)}
