#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# sqlite.sh SECONDS: sqlite3 fills, joins and sorts tables in memory.
timeout "$1" sqlite3 :memory: "
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t select i, hex(randomblob(8)), i * 0.7 from n;
create index by_b on t(b);
with recursive again(k) as (select 1 union all select k + 1 from again where k < 100000)
select k, (select sum(x.c * y.c) from t x join t y on x.a = y.a + 1 where x.b like '%' || (k % 100) || '%' order by x.b) from again;" >/dev/null
[ $? = 124 ]
