// A storefront and a warehouse in small, over openapi-fetch and the types that openapi-typescript makes of the OpenAPI
// document. Written from docs/api.md and the document alone. Prints what happened as JSON, for tests/e2e/test_clients.py.
//
//     node shopping.js storefront URL          EMAIL PASSWORD
//     node shopping.js warehouse  URL ORDER_ID EMAIL PASSWORD      (of an admin, who makes its API key)
import { randomUUID } from "node:crypto";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./duka";

type Order = components["schemas"]["Order"];
type Product = components["schemas"]["Product"];
type CreateOrder = components["schemas"]["CreateOrderRequest"];
type Shop = Client<paths>;

const key = () => randomUUID();
const pause = (ms: number) => new Promise((resume) => setTimeout(resume, ms));
const shopAt = (baseUrl: string, token?: string): Shop =>
  createClient<paths>({ baseUrl, headers: token ? { Authorization: `Bearer ${token}` } : {} });

/** The data of an answer that must be a success. */
function taken<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

/** The problem of an answer that must be a refusal. */
function refused(answer: { data?: unknown; error?: { code: string; errors?: { pointer: string }[] } }) {
  if (answer.error === undefined) throw new Error("taken: " + JSON.stringify(answer.data));
  return answer.error;
}

const logIn = async (shop: Shop, email: string, password: string) =>
  taken(await shop.POST("/users/login", { body: { email, password } }));

async function allProducts(shop: Shop): Promise<Product[]> {
  const found: Product[] = [];
  for (let after: string | undefined; ; ) {
    const page = taken(await shop.GET("/products", { params: { query: { limit: 2, after } } }));
    found.push(...page.items);
    if (!page.next) return found;
    after = page.next;
  }
}

async function settled(shop: Shop, id: string): Promise<Order> {
  for (let i = 0; ; i++) {
    const order = taken(await shop.GET("/orders/{id}", { params: { path: { id } } }));
    if (i > 200 || ["confirmed", "rejected", "cancelled"].includes(order.status ?? "")) return order;
    await pause(100);
  }
}

async function storefront(url: string, email: string, password: string) {
  const anyone = shopAt(url);
  taken(await anyone.POST("/users", { body: { email, password, name: "Amina" } }));
  const first = await logIn(anyone, email, password);
  const body = { refresh_token: first.refresh_token };
  const me = shopAt(url, taken(await anyone.POST("/users/refresh", { body })).access_token);

  const products = await allProducts(anyone);
  const variant = products.flatMap((one) => one.variants).find((one) => one.availability === "in_stock");
  if (!variant?.price) throw new Error("nothing is for sale");
  const total = { amount: 2 * variant.price.amount, currency: variant.price.currency };
  const order = (quantity: number, token = "approve", expected_total: CreateOrder["expected_total"] = total) => ({
    lines: [{ sku: variant.sku, quantity }],
    payment: { provider: "simulator", token },
    shipping_address: { name: "Amina Njoroge", line1: "Moi Avenue 12", city: "Nairobi", country: "KE" },
    expected_total,
  });
  const place = (body: CreateOrder, once = key()) =>
    me.POST("/orders", { params: { header: { "Idempotency-Key": once, Prefer: "wait=10" } }, body });

  const once = key();
  const placed = taken(await place(order(2), once));
  const again = await place(order(2), once);
  const changed = refused(await place(order(2, "approve", { ...total, amount: total.amount + 1 })));
  const short = refused(await place(order(10000, "approve", null)));
  const declined = refused(await place(order(2, "decline")));
  const strange = refused(await me.GET("/orders/{id}", { params: { path: { id: key() } } }));
  const path = { id: placed.id };
  const kept = taken(await me.POST("/users/me/export"));
  return {
    products: products.length,
    order: placed.id,
    status: (await settled(me, placed.id)).status,
    total: placed.total?.amount,
    replayed: again.response.headers.get("Idempotent-Replayed") === "true" && taken(again).id === placed.id,
    refusals: [changed.code, short.code, declined.code, strange.code],
    short: short.errors?.[0]?.pointer,
    exported: [kept.user?.email, kept.sessions.length, kept.history[0]?.what, kept.elsewhere],
    mine: taken(await me.GET("/orders")).items.length,
    timeline: taken(await me.GET("/orders/{id}/timeline", { params: { path } })).items.map((one) => one.what),
  };
}

/** A new key works everywhere within five seconds: at Orders and at Products. */
async function known(server: Shop): Promise<Shop> {
  const until = Date.now() + 5000;
  for (;;) {
    const orders = (await server.GET("/orders", { params: { query: { scope: "all" } } })).response;
    const stock = (await server.GET("/products/stock/{sku}", { params: { path: { sku: "mug" } } })).response;
    if (orders.ok && [200, 404].includes(stock.status)) return server;
    if (Date.now() > until) throw new Error(`not known within five seconds: ${orders.status}, ${stock.status}`);
    await pause(100);
  }
}

/** An admin makes a key for the warehouse's server, which ships by it; then the admin looks who did what. */
async function warehouse(url: string, id: string, email: string, password: string) {
  const admin = shopAt(url, (await logIn(shopAt(url), email, password)).access_token);
  const scopes = ["orders_read", "orders_fulfil", "stock_read", "stock_write"] as const;
  const made = taken(await admin.POST("/users/api-keys", { body: { name: "the warehouse", scopes: [...scopes] } }));
  const packed = await pack(await known(shopAt(url, made.secret)), id);
  const audit = taken(await admin.GET("/orders/audit", { params: { query: { subject: id } } }));
  await admin.DELETE("/users/api-keys/{id}", { params: { path: { id: made.id } } });
  const keys = taken(await admin.GET("/users/api-keys"));
  return {
    ...packed,
    audit: audit.items.filter((one) => one.actor_id === made.id).map((one) => one.call),
    revoked: keys.items.find((one) => one.id === made.id)?.revoked_at !== undefined,
  };
}

async function pack(staff: Shop, id: string) {
  const wish = { lines: [{ sku: "mug", quantity: 1 }], payment: { provider: "simulator", token: "approve" } };
  const once = { header: { "Idempotency-Key": key() } };
  const placing = refused(await staff.POST("/orders", { params: once, body: wish }));
  const query = { scope: "all", status: "confirmed" } as const;
  const waiting = taken(await staff.GET("/orders", { params: { query } }));
  const sku = waiting.items.find((one) => one.id === id)?.lines[0]?.sku;
  if (!sku) throw new Error("the order is not there");
  const stock = async () => taken(await staff.GET("/products/stock/{sku}", { params: { path: { sku } } }));
  const before = await stock();
  const params = () => ({ path: { id }, header: { "Idempotency-Key": key() } });
  const parcel = { carrier: "Bodaboda", tracking: "B-1" };
  const shipped = taken(await staff.POST("/orders/{id}/fulfilments", { params: params(), body: parcel }));
  const arrived = taken(await staff.POST("/orders/{id}/deliveries", { params: params(), body: {} }));
  for (let i = 0; i < 200 && (await stock()).on_hand === before.on_hand; i++) await pause(100);
  const counted = taken(
    await staff.POST("/products/stock/{sku}/adjustments", {
      params: { path: { sku }, header: { "Idempotency-Key": key() } },
      body: { reason: "received", delta: 5 },
    }),
  );
  const ledger = taken(await staff.GET("/products/stock/{sku}/ledger", { params: { path: { sku } } }));
  return {
    fulfilment: [shipped.fulfilment_status, arrived.fulfilment_status],
    change: counted.on_hand - before.on_hand,
    ledger: ledger.items.slice(0, 2).map((one) => [one.kind, one.delta]),
    refused: placing.code,
  };
}

const [what, ...words] = process.argv.slice(2) as [string, string, string, string, string];
const work = what === "storefront" ? storefront(words[0], words[1], words[2]) : warehouse(...words);
console.log(JSON.stringify(await work));
