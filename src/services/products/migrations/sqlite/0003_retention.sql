-- Reservations in the order in which they are forgotten: an order that is over is one without units that are still held.
drop index reservations_over;
create index reservations_by_time on reservations (updated_at);
