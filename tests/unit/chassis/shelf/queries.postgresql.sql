-- Where PostgreSQL's dialect parts from SQLite's.

-- titles_matching: many
-- words text -> title text
select title from titles where to_tsvector('simple', title) @@ plainto_tsquery('simple', $1);
