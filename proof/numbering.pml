/*
 * The numbering of one video's log in Redis, when Redis loses data. README.md explains it.
 *
 * A *server* is one incarnation of Redis: a process that was started, or a replica that was promoted. Each begins
 * with an earlier state of the one before it (a snapshot, or what had been replicated). The one before may still run,
 * with the processes that remain connected to it (a proxy, a network partition).
 *
 * Processes (dispatchers, frontends) append, receive what others append, and remember the last end of the log that they
 * received. Each may be arbitrarily slow, and may be killed: nothing in the present protocol depends on time.
 *
 * Checked in every reachable state:
 *   once     a number (epoch, offset) that a process has received is never given to another event
 *   gap      a viewer has each accepted event, once, or received a gap in its place
 *
 * The protocol before is -DOLD, all of:
 *   -DOLD_LISTENER  a process whose listener is a new one does not report what it knows
 *   -DOLD_EPOCHS    only the last received epoch is compared; epochs have no order
 *   -DOLD_RUN       which incarnation made a log is not noted before the first append
 *   -DOLD_TIME      a log continues when the connected processes have reported, whatever others exist
 */

#ifdef OLD
#define OLD_LISTENER
#define OLD_EPOCHS
#define OLD_RUN
#define OLD_TIME
#endif

/* How much of it is looked at. */
#ifndef SERVERS
#define SERVERS   3
#endif
#ifndef EVENTS
#define EVENTS    3
#endif
#ifndef SAVES
#define SAVES     1
#endif
#ifndef KILLS
#define KILLS     0
#endif
#ifndef NEWCOMERS
#define NEWCOMERS 0          /* 1: process 2 is started later */
#endif
#define PROCESSES 3
#ifndef LENGTH
#define LENGTH    2          /* of a log */
#endif
#ifndef VIEWER
#define VIEWER    0          /* 1: process 1 has a viewer */
#endif
#define EPOCHS    4
#define NONE      0

#define UNDECIDED 0
#define COMPLETE  1          /* every member has reported what it knows: the log continues */
#define PARTIAL   2          /* a member is missing, or the list of members is old: the log begins a new epoch */

typedef Copied {              /* of a video's log, and of the list of members, in one incarnation */
    byte epoch;              /* NONE: there is no log */
    byte length;
    byte event[4];
    byte settled;            /* the incarnation in which the log was made, or found whole; NONE: not noted */
    byte members;            /* processes that may have received a number: a bit each */
    byte view;               /* changes with the members */
    byte noted;              /* the incarnation noted last; NONE: none */
};
Copied log[SERVERS + 1];
Copied copy;

byte newest = 1;
byte vouchers[SERVERS + 1];  /* the members in the copy it began with, */
byte view_copied[SERVERS + 1]; /* and their view */
byte told_in[SERVERS + 1];   /* members that have reported all they know to this incarnation */
byte verdict[SERVERS + 1];

byte made_at[16];            /* the server at which a view was made */
byte epochs, events, views;  /* names used so far: none is used twice */
byte generation[EPOCHS + 1];
byte given[20];              /* the event that was received under (epoch, offset) */
byte epoch_of[EVENTS + 1];
byte accepted, stale;        /* events, a bit each: answered; and those answered by a server that had a successor */

typedef Process {
    bool alive, fresh;
    byte at;                 /* the server it is connected to */
    byte epoch, length;      /* the last end of the log that it received */
    byte view;
};
Process process[PROCESSES];

byte viewer_epoch, viewer_length, seen;

#define BIT(n)           (1 << (n))
#define KNOWS(p)         (process[p].epoch != NONE)
#define IS_UNSETTLED(s)  (log[s].epoch != NONE && log[s].settled != (s))
#define IS_FURTHER(p, s) (process[p].epoch == log[s].epoch && process[p].length > log[s].length)

#ifdef OLD_EPOCHS
#define IS_NEWER(p, s)   false
#else
#define IS_NEWER(p, s)   (process[p].epoch != log[s].epoch && \
                          (generation[process[p].epoch] > generation[log[s].epoch] || \
                           (IS_UNSETTLED(s) && generation[process[p].epoch] == generation[log[s].epoch])))
#endif
#define IS_AHEAD(p, s)   (KNOWS(p) && log[s].epoch != NONE && (IS_FURTHER(p, s) || IS_NEWER(p, s)))

#ifdef OLD_TIME
#define ALL_TOLD(s) ((!process[0].alive || process[0].fresh || process[0].at != s || told_in[s] & 1) && \
                     (!process[1].alive || process[1].fresh || process[1].at != s || told_in[s] & 2) && \
                     (!process[2].alive || process[2].fresh || process[2].at != s || told_in[s] & 4))
#else
#define ALL_TOLD(s) (vouchers[s] != 0 && (log[s].members & ~told_in[s]) == 0)
#endif

inline begin_epoch(p, s) {
    printf("process %d begins epoch %d at server %d\n", p, epochs + 1, s);
    epochs++;
    generation[epochs] = 1 + (generation[log[s].epoch] > generation[process[p].epoch] ->
                              generation[log[s].epoch] : generation[process[p].epoch]);
    log[s].epoch = epochs; log[s].length = 0; log[s].settled = s;
    log[s].event[1] = 0; log[s].event[2] = 0; log[s].event[3] = 0
}

inline change_view(s) { views++; log[s].view = views; made_at[views] = s }

/* Every call names its process. A process that is not in the list is added; if it knows numbers, it has to report. */
inline contact(p, s) {
#ifndef OLD_RUN
    log[s].noted = s;
#endif
#ifndef OLD_TIME
    if
    :: verdict[s] == UNDECIDED && process[p].view > view_copied[s] && made_at[process[p].view] != s ->
        verdict[s] = PARTIAL; change_view(s)
    :: else
    fi;
#endif
    if
    :: !(log[s].members & BIT(p)) ->
        log[s].members = log[s].members | BIT(p);
        change_view(s);
        if :: !KNOWS(p) -> told_in[s] = told_in[s] | BIT(p) :: else fi;
        /* The one assumption: the others see it before it receives a number and is lost. */
        for (q : 0 .. PROCESSES - 1) {
            if
            :: process[q].at == s && log[s].members & BIT(q) && (process[q].view <= view_copied[s] || made_at[process[q].view] == s) ->
                process[q].view = log[s].view
            :: else
            fi
        }
    :: else
    fi;
    process[p].view = log[s].view
}

inline tell(p, s) {
    printf("process %d reports %d-%d to server %d\n", p, process[p].epoch, process[p].length, s);
    contact(p, s);
    if :: IS_AHEAD(p, s) -> begin_epoch(p, s) :: else fi;
    told_in[s] = told_in[s] | BIT(p);
    if
    :: log[s].epoch != NONE && !IS_UNSETTLED(s) -> process[p].epoch = log[s].epoch; process[p].length = log[s].length
    :: else
    fi
}

inline be_told(p, s) {
    at = log[s].epoch * 4 + log[s].length;
    assert(given[at] == 0 || given[at] == events);                                              /* once */
    given[at] = events;
    process[p].epoch = log[s].epoch; process[p].length = log[s].length
}

inline append(p, s) {
    contact(p, s);
    log[s].noted = s;
#ifndef OLD_TIME
    assert(!(KNOWS(p) && !IS_UNSETTLED(s) && IS_FURTHER(p, s)));           /* nothing is found out too late */
#endif
    if :: IS_AHEAD(p, s) -> begin_epoch(p, s) :: else fi;
    if
    :: log[s].epoch == NONE -> begin_epoch(p, s)
    :: IS_UNSETTLED(s) ->
        if
        :: verdict[s] == UNDECIDED && ALL_TOLD(s) -> verdict[s] = COMPLETE
#ifndef OLD_TIME
        :: verdict[s] == UNDECIDED && !ALL_TOLD(s) -> verdict[s] = PARTIAL                      /* waited enough */
#endif
        :: else
        fi;
        if
        :: verdict[s] == PARTIAL -> begin_epoch(p, s)
        :: verdict[s] == COMPLETE -> log[s].settled = s
        :: else
        fi
    :: else
    fi;
    if
    :: !IS_UNSETTLED(s) && log[s].length < LENGTH ->
        events++;
        if :: VIEWER -> epoch_of[events] = log[s].epoch :: else fi;
        log[s].length++;
        log[s].event[log[s].length] = events;
        printf("process %d appends event %d as %d-%d at server %d\n", p, events, log[s].epoch, log[s].length, s);
        /* Forwarded to those who listen here, or lost on the way; answered, or the answer is lost. */
        for (q : 0 .. PROCESSES - 1) {
            if
            :: process[q].alive && process[q].at == s && log[s].members & BIT(q) -> printf("process %d hears it\n", q); be_told(q, s)
            :: true
            fi
        }
        if
        :: if :: VIEWER -> accepted = accepted | BIT(events) :: else fi; printf("it is answered\n");
            if :: VIEWER && s != newest -> stale = stale | BIT(events) :: else fi;
            be_told(p, s)
        :: true
        fi
    :: else
    fi
}

/* A video without a log is subscribed to: it is given an epoch, and no event. */
inline subscribe(p, s) {
    contact(p, s);
    begin_epoch(p, s);
    process[p].epoch = log[s].epoch; process[p].length = 0
}

/* Process 1 reads the log to its end, and its viewer has it. */
inline follow(s) {
    printf("the viewer follows server %d to %d-%d\n", s, log[s].epoch, log[s].length);
    contact(1, s);
    if
    :: viewer_epoch != log[s].epoch -> viewer_epoch = log[s].epoch; viewer_length = 0           /* a gap is sent */
    :: else
    fi;
    for (at : 1 .. LENGTH) {
        if
        :: at > viewer_length && at <= log[s].length ->
            assert(!(seen & BIT(log[s].event[at])));
            seen = seen | BIT(log[s].event[at]);
            viewer_length = at
        :: else
        fi
    }
    for (at : 1 .. EVENTS) {                                                                     /* gap */
        assert(!(accepted & BIT(at)) || seen & BIT(at) || s != newest ||
               epoch_of[at] < viewer_epoch || (stale & BIT(at) && epoch_of[at] != viewer_epoch))
    }
    process[1].epoch = log[s].epoch;
    process[1].length = log[s].length
}

inline clone(to, from) {
    to.epoch = from.epoch; to.length = from.length; to.settled = from.settled;
    to.event[1] = from.event[1]; to.event[2] = from.event[2]; to.event[3] = from.event[3];
    to.members = from.members; to.view = from.view; to.noted = from.noted
}

/* A server without processes sends nothing: fewer states. */
inline forget_old_servers() {
    for (s : 1 .. SERVERS - 1) {
        if
        :: s < newest && process[0].at != s && process[1].at != s && process[2].at != s ->
            clone(log[s], log[0]); told_in[s] = 0; verdict[s] = 0; vouchers[s] = 0; view_copied[s] = 0
        :: else
        fi
    }
    s = 0
}

/* The other assumption: a process does not first come to a server that has a successor already. */
#define MAY_CALL(p, s) (s == newest || log[s].members & BIT(p))

#define SERVER(p) process[p].at
#ifdef OLD_LISTENER
#define MAY_TELL(p) !process[p].fresh
#else
#define MAY_TELL(p) true
#endif
#ifdef OLD
#define MAY_READ(s) true
#else
#define MAY_READ(s) !IS_UNSETTLED(s)
#endif

byte saves, kills;

init {
    byte p, q, at, s;
    atomic {
        process[0].alive = true; process[0].at = 1;
        process[1].alive = true; process[1].at = 1;
        verdict[1] = COMPLETE; vouchers[1] = 1
    }
    do
    :: atomic {
        /* Whose turn it is. */
        if :: process[0].alive -> p = 0 :: process[1].alive -> p = 1 :: process[2].alive -> p = 2 fi;
        s = SERVER(p);
        if
        :: MAY_CALL(p, s) && events < EVENTS && epochs < EPOCHS -> append(p, s)
        :: MAY_CALL(p, s) && log[s].epoch == NONE && epochs < EPOCHS -> subscribe(p, s)
        :: MAY_CALL(p, s) && MAY_TELL(p) && epochs < EPOCHS && !(told_in[s] & BIT(p)) -> tell(p, s)
        :: VIEWER && MAY_CALL(p, s) && p == 1 && log[s].epoch != NONE && MAY_READ(s) -> follow(s)
        :: s != newest ->
            process[p].at = newest;
#ifdef OLD_LISTENER
            if :: process[p].fresh = true :: process[p].fresh = false fi
#endif
        fi;
        p = 0; q = 0; at = 0; s = 0; forget_old_servers()
    }
    :: atomic { newest < SERVERS && saves < SAVES -> saves++; printf("a copy is made\n"); clone(copy, log[newest]) }
    :: atomic { newest < SERVERS ->
        clone(log[newest + 1], copy);
        newest++; printf("server %d begins with the copy\n", newest);
        vouchers[newest] = log[newest].members;
        view_copied[newest] = log[newest].view;
        if :: !vouchers[newest] -> verdict[newest] = PARTIAL :: else fi;                 /* no member vouches for it */
        if :: newest == SERVERS -> clone(copy, log[0]) :: else fi;
#ifdef OLD_RUN
        /* The first append after a restart looked whether an incarnation had been noted: no, so all is settled. */
        if :: log[newest].noted == NONE && log[newest].epoch != NONE -> log[newest].settled = newest :: else fi
#endif
    }
    :: atomic { kills < KILLS -> kills++;
        if :: process[0].alive -> process[0].alive = false; process[0].at = 0; process[0].epoch = 0; process[0].length = 0; process[0].view = 0
        :: process[1].alive -> process[1].alive = false; process[1].at = 0; process[1].epoch = 0; process[1].length = 0; process[1].view = 0
        fi }
    :: atomic { NEWCOMERS && !process[2].alive && process[2].at == 0 -> process[2].alive = true; process[2].at = newest }
    :: atomic {                                   /* The row of a dead process is dropped by one of the others. */
        s = newest;
        if
        :: !process[0].alive && log[s].members & 1 && verdict[s] != UNDECIDED && process[1].at == s && told_in[s] & 2 ->
            log[s].members = log[s].members & ~1; change_view(s); process[1].view = log[s].view
        :: !process[1].alive && log[s].members & 2 && verdict[s] != UNDECIDED && process[0].at == s && told_in[s] & 1 ->
            log[s].members = log[s].members & ~2; change_view(s); process[0].view = log[s].view
        fi;
        s = 0
    }
    :: break
    od
}
