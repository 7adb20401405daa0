"""finetui in a browser: the same app behind a web page that only this machine, and whoever has the token, can open.

`access` judges requests, `server` answers them, `session` runs one app per browser tab, `page/` is what the browser
loads. Only this package imports textual-serve and aiohttp, which the extra `serve` brings.
"""
