-- Those that live stand together: who signs in often leaves thousands that have ended, and each sign-in looks for what lives
-- beyond the newest hundred.
drop index sessions_by_user;
create index sessions_by_user on sessions (user_id, ended_at, created_at desc, id desc);
