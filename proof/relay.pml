/*
 * The relay between datacenters: two relays bring one origin's events into a log elsewhere. See README.md.
 *
 * The origin's log begins new epochs (it lost data). Each relay hears the origin's feed, where events may be lost and
 * may wait for long; after a refusal it asks where the log stands, then reads the origin's log, then appends what it
 * read *instead of* that position: if the position is another one by then, it is refused (relay.lua).
 *
 * Checked: each event is appended at most once; epochs are appended in the order in which the origin began them; and
 * a log that a relay has brought level has what the origin's log has (so all datacenters converge: each receives
 * every origin's events from that origin alone).
 *
 * -DNO_COMPARE appends a jump without comparing; -DREAD_FIRST reads the origin's log before asking for the position.
 */

#define EVENTS 4
#define RELAYS 2

byte origin_epoch = 1, origin_length;           /* the origin's log */
byte events;
byte id[20];                                    /* the event at (epoch, number) of the origin: epoch * 4 + number */

byte epoch, number;                             /* where the log stands with the origin */
byte appended;                                  /* events, a bit each */

typedef Relay {
    byte heard_epoch, heard_number;             /* an event of the feed that waits */
    byte step;                                  /* 0: level; 1: was refused; 2: knows the position; 3: has read */
    byte at_epoch, at_number;                   /* the position as received */
    byte read_epoch, read_from, read_to;        /* what was read of the origin's log */
};
Relay relay[RELAYS];

inline take(e, n) {
    printf("relay: event %d-%d is appended\n", e, n);
    assert(!(appended & (1 << id[e * 4 + n])));                              /* at most once */
    assert(e >= epoch);                                                      /* no epoch comes back */
    appended = appended | (1 << id[e * 4 + n]);
    epoch = e; number = n
}

#define IS_NEXT(e, n) ((epoch == e || epoch == 0) && n == number + 1)

inline read_origin(r) {
    relay[r].read_epoch = origin_epoch;
    relay[r].read_from = (relay[r].at_epoch == origin_epoch -> relay[r].at_number : 0);
    relay[r].read_to = origin_length
}

init {
    byte r, n;
    do
    :: atomic { events < EVENTS && origin_length < 3 ->
        events++; origin_length++; id[origin_epoch * 4 + origin_length] = events;
        printf("origin: event %d is %d-%d\n", events, origin_epoch, origin_length);
        for (r : 0 .. RELAYS - 1) {
            if
            :: relay[r].heard_epoch == 0 -> relay[r].heard_epoch = origin_epoch; relay[r].heard_number = origin_length
            :: true                                                          /* lost on the way */
            fi
        }
        r = 0
    }
    :: atomic { origin_epoch < 3 && events < EVENTS -> origin_epoch++; origin_length = 0; printf("origin: begins epoch %d\n", origin_epoch) }
    :: atomic {
        if :: r = 0 :: r = 1 fi;
        if
        :: relay[r].heard_epoch != 0 ->                                      /* carry what was heard */
            if
            :: IS_NEXT(relay[r].heard_epoch, relay[r].heard_number) -> take(relay[r].heard_epoch, relay[r].heard_number)
            :: else -> relay[r].step = (relay[r].step == 0 -> 1 : relay[r].step)
            fi;
            relay[r].heard_epoch = 0; relay[r].heard_number = 0
        :: relay[r].step == 0 -> relay[r].step = 1                           /* a sweep */
        :: relay[r].step == 1 ->
#ifdef READ_FIRST
            relay[r].at_epoch = 0; relay[r].at_number = 0;
            read_origin(r);
#else
            relay[r].at_epoch = epoch; relay[r].at_number = number;
#endif
            relay[r].step = 2
        :: relay[r].step == 2 ->
#ifdef READ_FIRST
            relay[r].at_epoch = epoch; relay[r].at_number = number;
#else
            read_origin(r);
#endif
            relay[r].step = 3
        :: relay[r].step == 3 ->
#ifdef NO_COMPARE
            if
            :: true ->
#else
            if
            :: relay[r].at_epoch != epoch || relay[r].at_number != number -> relay[r].step = 1   /* refused */
            :: else ->
#endif
                for (n : 1 .. 3) {
                    if
                    :: n > relay[r].read_from && n <= relay[r].read_to &&
                       (relay[r].read_epoch != epoch || n > number) -> take(relay[r].read_epoch, n)
                    :: else
                    fi
                }
                relay[r].step = 0;
                /* Level with what was read: all of it is here. */
                for (n : 1 .. 3) {
                    assert(n > relay[r].read_to || (appended & (1 << id[relay[r].read_epoch * 4 + n])))
                }
            fi;
            relay[r].at_epoch = 0; relay[r].at_number = 0;
            relay[r].read_epoch = 0; relay[r].read_from = 0; relay[r].read_to = 0
        fi;
        r = 0; n = 0
    }
    :: break
    od
}
