-- wrk: orders of two lines, each with a key of its own. Arguments: "duka" or "go", a file of tokens, how many products.
local kind, tokens, products
local count = 0

function init(args)
  kind, products = args[1], tonumber(args[3])
  tokens = {}
  for line in io.lines(args[2]) do tokens[#tokens + 1] = line end
  math.randomseed(os.time())
  run = string.format("%d-%d", os.time(), math.random(1000000000))
end

function request()
  count = count + 1
  local a = math.random(products)
  local b = (a + math.random(products - 1) - 1) % products + 1
  local body
  if kind == "duka" then
    body = string.format('{"lines":[{"sku":"SKU%d","quantity":1},{"sku":"SKU%d","quantity":2}],' ..
      '"payment":{"provider":"simulator","token":"approve"}}', a, b)
  else
    body = string.format('{"items":[{"product_id":%d,"qty":1},{"product_id":%d,"qty":2}]}', a, b)
  end
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. tokens[count % #tokens + 1],
    ["Idempotency-Key"] = run .. "-" .. count,
    ["Prefer"] = "wait=10",
  }
  return wrk.format("POST", "/orders", headers, body)
end
