import time
from focus_pipeline_tests.month_files import *
def test_a(folder, load_month):
    write_csv(folder/"bill.csv",[focus_row(), focus_row()])
    t=time.time(); m=load_month(folder); print("T", time.time()-t, time.process_time())
    print(m.verdict.checks)
    t=time.time(); write_csv(folder/"bill.csv",[focus_row(), focus_row(BilledCost="x")]); m=load_month(folder); print("T", time.time()-t)
    print(m.failures)
