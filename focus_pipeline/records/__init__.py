"""What is kept on disk about a month beside its data. No other module makes these names, or reads these files.

landing/<connection>/shown.json                      landed.Shown
landing/<connection>/look.json                       looks.Look
landing/<connection>/<YYYY-MM>/order.json            landed.Order
landing/<connection>/<YYYY-MM>/current.json          landed.Current
landing/<connection>/<YYYY-MM>/<token>/delivery.json landed.Delivered
staged/<connection>/<YYYY-MM>/<token>.staged.json    staged.Report, of Parquet files beside it
staged/<connection>/<YYYY-MM>/<token>.verdict.json   verdicts.Verdict
staged/<connection>/<YYYY-MM>/judged.json            verdicts.JudgedDelivery
staged/<connection>/<YYYY-MM>/accepted.json          accepted.Accepted
staged/<connection>/<YYYY-MM>/held_back.json         accepted.HeldBack
published/<YYYY-MM>.json                             published.Published
"""
