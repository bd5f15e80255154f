-- wrk: reads of one product each, by handle, over all products. Argument: how many products.
local products

function init(args) products = tonumber(args[1]) end

function request() return wrk.format("GET", "/products/product-" .. math.random(products)) end
