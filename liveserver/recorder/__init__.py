"""The recorder: keeps the events of videos in files, for replay in step with the video.

recorder.py    follows the logs of all videos
recording.py   one video's recording: appends, retracts, erases, reads
segments.py    where segments begin and end, and their bytes: no I/O
routes.py      recordings over HTTP
history.py     pages of a recording, and of the log behind it
history_routes.py  these pages over HTTP
store.py       the interface of a storage of recordings
directory.py   files, written atomically
s3.py          objects in a bucket of an S3-compatible store
opening.py     the storage that the settings name
role.py        the role, put together

A recording is a folder of *segments*, each of some seconds, as gzipped lines of JSON; `index.json` names
those that count, in order. Rules:

1. A segment's name has the hash of its content, so a file never changes. What changes is the index, by one
   rename or conditional write: whichever process is killed, at any moment, either the former or the new index
   is there, and all files that it names.
2. At least once in, exactly once out: the log is read from the index's own position in it, and the events of
   each origin that a recording has are known by their numbers (a version vector, as a viewer's cursor). So a
   log that began anew, an event relayed twice, and a recorder that died at any step double nothing.
3. Where segments begin depends on the events alone, and gzip gets no time: the same feed gives the same
   bytes.
4. A retracted event loses its content in its segment; the old file is deleted.
"""
