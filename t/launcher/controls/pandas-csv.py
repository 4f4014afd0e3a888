# title: pandas: csv, group, join, dates in time zones
# needs: /usr/lib/python3/dist-packages/pandas
# limits: memory=512m
import pandas as pd

frame = pd.DataFrame({"k": ["a", "b"] * 500, "v": range(1000), "t": pd.date_range("2024-03-30", periods=1000, freq="h", tz="Europe/Berlin")})
frame.to_csv("/workspace/f.csv", index=False)
back = pd.read_csv("/workspace/f.csv")
assert back.groupby("k").v.sum().to_dict() == {"a": 249500, "b": 250000}
assert len(frame.merge(back[["v"]], on="v")) == 1000
assert frame.t.dt.tz_convert("UTC").iloc[30].hour == 5
print("WORKS")
