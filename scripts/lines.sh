# ---- A shopper: paste from here ----
SHOP=@SHOP@

# Register, and log in for a token of ten minutes.
EMAIL="amina-$(date +%s%N)-$$@example.com"
curl -sS "$SHOP/users" -H 'Content-Type: application/json' \
    -d '{"email":"'"$EMAIL"'","password":"correct horse battery","name":"Amina Njoroge"}'; echo
TOKEN=$(curl -sS "$SHOP/users/login" -H 'Content-Type: application/json' \
    -d '{"email":"'"$EMAIL"'","password":"correct horse battery"}' |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# Browse, and search.
curl -sS "$SHOP/products?limit=2"; echo
curl -sS "$SHOP/products?q=coffee&limit=1"; echo

# Order one. The key makes it safe to send again: a repeat hears the first answer.
SKU=lamu-peaberry-coffee-whole-bean-250-g
KEY=$(date +%s%N)-$$
ORDER=$(curl -sS "$SHOP/orders" -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY" \
    -H 'Prefer: wait=10' -H 'Content-Type: application/json' \
    -d '{"lines":[{"sku":"'"$SKU"'","quantity":1}],
         "payment":{"provider":"simulator","token":"approve"}}')
printf '%s\n' "$ORDER"

# Read it back, and what happened to it.
ID=$(printf '%s\n' "$ORDER" | sed 's/^{"id":"\([^"]*\)".*/\1/')
curl -sS "$SHOP/orders/$ID" -H "Authorization: Bearer $TOKEN"; echo
curl -sS "$SHOP/orders/$ID/timeline" -H "Authorization: Bearer $TOKEN"; echo
# ---- to here ----

# ---- Staff: paste from here, after the shopper's lines ----
STAFF_PASSWORD=@STAFF_PASSWORD@
STAFF=$(curl -sS "$SHOP/users/login" -H 'Content-Type: application/json' \
    -d '{"email":"@STAFF_EMAIL@","password":"'"$STAFF_PASSWORD"'"}' |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# Import a product CSV, and look how far it is.
IMPORT=$(curl -sS "$SHOP/products/imports" -H "Authorization: Bearer $STAFF" \
    -H 'Content-Type: text/csv' --data-binary @@CATALOG@ | sed 's/^{"id":"\([^"]*\)".*/\1/')
curl -sS "$SHOP/products/imports/$IMPORT?limit=1" -H "Authorization: Bearer $STAFF"; echo

# Ten more of one SKU come in.
curl -sS "$SHOP/products/stock/$SKU/adjustments" -H "Authorization: Bearer $STAFF" \
    -H "Idempotency-Key: $(date +%s%N)-$$" -H 'Content-Type: application/json' \
    -d '{"delta":10,"reason":"received"}'; echo

# Ship the order.
curl -sS "$SHOP/orders/$ID/fulfilments" -H "Authorization: Bearer $STAFF" \
    -H "Idempotency-Key: $(date +%s%N)-$$" -H 'Content-Type: application/json' -d '{}'; echo
# ---- to here ----
