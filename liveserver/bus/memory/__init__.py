"""The bus inside one process.

bus.py             the operations
coordination.py    those that concern no log: groups, holds, answers, audiences
activity.py        videos by the time of what happened last
mailboxes.py       the open inboxes and feeds
video_log.py       one video: its log, ids and nodes
retained.py        the events of one kind that a log holds
video_state.py     the newest event of each key
viewer_counter.py  viewer counts of one video
audiences.py       who has watched each video, counted
hook_queue.py      the queues of hooks
distinct.py        different names, counted in bounded memory
"""
