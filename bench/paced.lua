-- wrk: reads of one product each, by handle, at a pace: eight connections, each waits 10 ms after an answer. Argument: how
-- many products.
local products

function init(args) products = tonumber(args[1]) end

function delay() return 10 end

function request() return wrk.format("GET", "/products/product-" .. math.random(products)) end
