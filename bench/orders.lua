-- wrk: orders of two lines, each with a key of its own. Arguments: "duka" or "go", a file of tokens, how many products, and
-- how they are paid: "approve" (else), "settled" (one in ten is declined), "open" (by callback after a second, by hand).
local kind, tokens, products, payments
local count = 0

function init(args)
  kind, products, payments = args[1], tonumber(args[3]), args[4] or "approve"
  tokens = {}
  for line in io.lines(args[2]) do tokens[#tokens + 1] = line end
  math.randomseed(os.time())
  run = string.format("%d-%d", os.time(), math.random(1000000000))
end

local function payment()
  local chance = math.random(10)
  if payments == "settled" and chance == 1 then return '"provider":"simulator","token":"decline"' end
  if payments == "open" and chance == 1 then return '"provider":"manual"' end
  if payments == "open" then return '"provider":"simulator","token":"webhook"' end
  return '"provider":"simulator","token":"approve"'
end

function request()
  count = count + 1
  local a = math.random(products)
  local b = (a + math.random(products - 1) - 1) % products + 1
  local body
  if kind == "duka" then
    body = string.format('{"lines":[{"sku":"SKU%d","quantity":1},{"sku":"SKU%d","quantity":2}],' ..
      '"payment":{%s}}', a, b, payment())
  else
    body = string.format('{"items":[{"product_id":%d,"qty":1},{"product_id":%d,"qty":2}]}', a, b)
  end
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. tokens[count % #tokens + 1],
    ["Idempotency-Key"] = run .. "-" .. count,
    ["Prefer"] = payments == "open" and "respond-async" or "wait=10",
  }
  return wrk.format("POST", "/orders", headers, body)
end
